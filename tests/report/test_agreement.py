"""A result that disagrees is reported everywhere and compared with nothing.

It is named at the top, in red, in the files, and by the exit code.
"""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path

from msgspec.structs import replace

from bench.command.progress import ProgressDisplay
from bench.machine.host import this_machine
from bench.records.stored import write
from bench.report.form.blocks import Table
from bench.report.section import equality, tuned
from bench.report.section import native as native_section
from bench.report.terminal.plain import plain_console
from tests.support.agreement import result, run_of_seven
from tests.support.records import blocks_of, made_verification, run_of, summary
from tests.support.tasks import make_task, run_jobs


def test_native_mode_is_not_the_fastest_of_a_group_whose_matched_results_disagree():
    native = result("a", key="n", mode="native")
    rows = summary(result("a"), result("b", loss=0.43), native)
    assert rows["times_fastest"].isna().all()
    assert summary(native)["times_fastest"].tolist() == [1.0]


def test_a_copy_under_another_name_does_not_hide_a_wrong_result(bench, tmp_path):
    """Both results have the same key, and the second one is right."""
    written(tmp_path / "r", run_of_seven())
    copy = json.loads((tmp_path / "r" / "jobs" / "wrong.json").read_text())
    copy["epochs"] = [
        {**epoch, "running_loss": 0.22, "test_accuracy": 0.98} for epoch in copy["epochs"]
    ]
    (tmp_path / "r" / "jobs" / "x-copy.json").write_text(
        json.dumps({**copy, "job": {**copy["job"], "seed": 1}})
    )
    code, _, errors = bench("report", "r")
    assert code == 1
    assert "x-copy.json: named otherwise than its key, left out" in errors


def test_a_job_that_disagrees_is_in_no_ratio_ranking_equality_or_break_even():
    rounds = [record for turn in range(12) for record in run_of_seven(round=turn)]
    rounds = [replace(record, key=f"{record.key}{record.job.round}") for record in rounds]
    names = {"wrong": "pytorch-compiled", "a": "pytorch"}
    records = [
        replace(
            record,
            job=replace(record.job, backend=names.get(record.job.backend, record.job.backend)),
        )
        for record in rounds
    ]
    run = run_of(*records)
    assert run.epochs.groupby("backend")["agrees"].first().to_dict() == {
        **dict.fromkeys(("pytorch", *"bcdef"), True),
        "pytorch-compiled": False,
    }
    assert not any("pytorch-compiled" in (pair.backend, pair.other) for pair in run.pairs)
    assert len(run.pairs) == 15
    assert tuned.section(run) == native_section.section(run) == []
    [table] = blocks_of(Table, equality.section(run))
    assert len(table.rows) == 6
    assert not any(row[1] == "pytorch-compiled" for row in table.rows)
    [row] = [row for row in run.summary.to_dict("records") if row["backend"] == "pytorch-compiled"]
    assert (row["status"], row["agrees"], row["ok_jobs"], row["jobs"]) == (
        "disagrees",
        False,
        0,
        12,
    )
    assert not row["times_fastest"] > 0


def test_a_seed_that_disagrees_is_left_out_of_its_backends_figures_and_said():
    seeds = [result(name, key=f"{name}{seed}", seed=seed) for name in "abx" for seed in (0, 1)]
    seeds[-1] = result("x", key="x1", seed=1, loss=0.43, accuracy=0.5)
    [row] = [row for row in summary(*seeds).to_dict("records") if row["backend"] == "x"]
    assert (row["status"], row["ok_jobs"], row["jobs"], row["agrees"]) == ("ok", 1, 2, False)
    assert row["test_accuracy"] == 0.98
    assert row["doubt"].startswith("disagrees: loss 0.43")


def test_a_seed_that_failed_does_not_hide_one_that_disagrees():
    seeds = [result(name, key=f"{name}{seed}", seed=seed) for name in "abx" for seed in (0, 1)]
    seeds[-2:] = [result("x", key="x0", status="failed"), result("x", key="x1", seed=1, loss=0.43)]
    [row] = [row for row in summary(*seeds).to_dict("records") if row["backend"] == "x"]
    assert row["status"] == "disagrees"


def written(folder, records):
    for record in records:
        write(folder / "jobs", record)


def rows_of(path):
    return {row["backend"]: row for row in csv.DictReader(path.read_text().splitlines())}


def test_the_report_says_it_at_the_top_in_red_in_the_csv_last_and_by_its_exit_code(bench, tmp_path):
    written(tmp_path / "r", run_of_seven(workload="cnn"))
    code, output, _ = bench("report", "r")
    assert code == 1
    assert (
        output.splitlines()[-1] == "1 of 7 results disagrees with the other backends: wrong on cnn"
    )
    assert output.splitlines()[-2].startswith(
        "cnn wrong cpu, seed 0: loss 0.432 in epoch 1, the median of the others"
    )
    page = (tmp_path / "r" / "report.md").read_text()
    assert page.index("> [!CAUTION]\n> **1 of 7 results disagrees") < page.index("## ")
    assert "> - cnn wrong cpu, seed 0: loss 0.432" in page
    assert "95.98 %" not in page.replace("accuracy 95.98 %, the median of the others", "")
    html = (tmp_path / "r" / "report.html").read_text()
    assert (
        html.index("</h1>")
        < html.index('<section class="alarm" role="alert">')
        < html.index("<h2 ")
    )
    rows = rows_of(tmp_path / "r" / "summary.csv")
    assert (rows["a"]["agrees"], rows["wrong"]["agrees"]) == ("True", "False")
    assert rows["wrong"]["doubt"].startswith("disagrees: loss 0.432")
    rows = rows_of(tmp_path / "r" / "epochs.csv")
    assert (rows["a"]["agrees"], rows["wrong"]["agrees"], rows["wrong"]["status"]) == (
        "True",
        "False",
        "disagrees",
    )
    record = json.loads((tmp_path / "r" / "jobs" / "wrong.json").read_text())
    assert record["status"] == "ok"
    assert "disagree" not in str(record)


def test_a_run_whose_backends_agree_is_quiet(bench, tmp_path):
    written(tmp_path / "r", run_of_seven(workload="cnn")[:-1])
    code, output, _ = bench("report", "r")
    assert code == 0
    for text in (
        output,
        (tmp_path / "r" / "report.md").read_text(),
        (tmp_path / "r" / "report.html").read_text(),
    ):
        assert "disagree" not in text.lower().replace("terms on which frameworks disagree", "")
        assert 'class="alarm"' not in text


def test_whatever_was_verified_it_disagrees_here(bench, tmp_path):
    records = [
        replace(record, job=replace(record.job, backend="pytorch"))
        for record in run_of_seven()[-1:]
    ]
    written(tmp_path / "r", [*run_of_seven()[:-1], *records])
    verification = made_verification(
        machine=replace(this_machine(), name="m"), adapter_checksum="a"
    )
    (tmp_path / "verifications").mkdir()

    write(tmp_path / "verifications", verification)
    code, output, _ = bench("report", "r")
    assert code == 1
    assert "\npytorch disagrees here on cnn. Further checks" in output
    for line in (tmp_path / "r" / "report.md").read_text().splitlines():
        if "pytorch" in line and "verified on this machine" in line:
            assert line.endswith("of the tolerance; but it disagrees here on cnn |")
            break
    else:
        raise AssertionError("the page does not say that pytorch was verified")


def test_a_comparison_and_an_export_say_it_too(bench, tmp_path):
    written(tmp_path / "r", run_of_seven())
    written(tmp_path / "s", run_of_seven()[:-1])
    code, output, _ = bench("compare", "r", "s", "--output", "out")
    assert code == 1
    assert (
        output.splitlines()[-1] == "1 of 13 results disagrees with the other backends: wrong on cnn"
    )
    assert 'class="alarm"' in (tmp_path / "out" / "report.html").read_text()
    code, output, errors = bench("export", "r", "--pytest-benchmark")
    assert code == 0
    assert "1 of 7 results disagrees" in errors
    assert "cnn[wrong]" not in output
    assert "cnn[a]" in output


def test_a_table_for_a_page_of_ones_own_has_no_accuracy_of_it(bench, tmp_path):
    written(tmp_path / "r", run_of_seven())
    page = tmp_path / "page.md"
    page.write_text("<!-- accuracy table: begin -->\n<!-- accuracy table: end -->\n")
    code, output, _ = bench("report", "r", "--into", "page.md")
    assert code == 1
    assert "1 of 7 results disagrees" in output
    assert "| disagrees |" in page.read_text()
    assert "95.98" not in page.read_text()


def test_broken_gradients_are_found_in_a_real_run_and_the_report_stays_red_on_every_look(
    mnist_5k, tmp_path, bench
):
    """Real workers, and the report of the command."""
    adapters = {
        "one": "backends.reference.oracle:Reference",
        "two": "backends.reference.oracle:Reference",
        "broken": "tests.support.faulty:HasNoGradients",
    }
    tasks = [
        replace(make_task(adapter, mnist_5k, backend=name, epochs=2), key=name)
        for name, adapter in adapters.items()
    ]
    file = io.StringIO()
    display = ProgressDisplay(plain_console(file=file, width=200), "m")
    display.planned(tasks)
    records = run_jobs(tasks, tmp_path / "r", observer=display)
    assert [record.status for record in records] == ["ok"] * 3
    [red] = [line for line in file.getvalue().splitlines() if "WRONG: " in line]
    assert "broken" in red
    assert "DISAGREES" not in file.getvalue()
    for _ in range(2):
        code, output, _ = bench("report", "r")
        assert code == 1
        assert (
            output.splitlines()[-1]
            == "1 of 3 results differs from the reference: broken on softmax"
        )
        assert Path("r/report.md").read_text().count("> [!CAUTION]") == 1
