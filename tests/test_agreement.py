"""A backend that disagrees with the others is found with one seed, said everywhere, and ranked nowhere."""

from __future__ import annotations

import csv
import io
import json
import re
from pathlib import Path

import pytest
from msgspec.structs import replace
from rich.console import Console
from test_proof import made_proof
from test_report import make_record

from bench.agreement import Result, agreement, judge
from bench.environments import PROJECT
from bench.machine import this_machine
from bench.progress import ProgressDisplay
from bench.record import write_record
from bench.report.agreement import alarm_blocks
from bench.report.equality import equality_blocks
from bench.report.frame import epochs_frame
from bench.report.native import native_blocks
from bench.report.ratios import pairs_of
from bench.report.summary import summarise
from bench.report.tables import label
from bench.report.tuned import tuned_blocks
from bench.rounds import widest
from bench.runner import run_tasks
from bench.runs import read_run
from specs.loading import find_workload
from test_ends import LIMITS, make_task

# What seven backends reported of `cnn` on full MNIST, the last with gradients of zero in front of the max-pool.
LOSSES = {"a": 0.2187, "b": 0.2194, "c": 0.2199, "d": 0.2205, "e": 0.2231, "f": 0.2260, "wrong": 0.4317}
ACCURACIES = {"a": 0.9865, "b": 0.9867, "c": 0.9869, "d": 0.9874, "e": 0.9879, "f": 0.9888, "wrong": 0.9598}


def judged(losses, accuracies=None, images=10_000):
    """Who disagrees, and why."""
    accuracies = accuracies or dict.fromkeys(losses, 0.98)
    group = [Result(name, name, losses[name], accuracies[name], images) for name in losses]
    return {name: why for name, why in judge(group).items() if why}


def result(backend, *, loss=0.22, accuracy=0.98, key=None, images=10_000, **changes):
    """A record of four epochs whose first has a loss and whose last an accuracy."""
    status, data = changes.pop("status", "ok"), changes.pop("data", "d")
    machine = changes.pop("machine", "m")
    made = make_record(
        key or backend, accuracies=(0.5, 0.5, 0.5, accuracy), status=status, data=data, backend=backend, **changes
    )
    epochs = tuple(replace(epoch, running_loss=loss) for epoch in made.epochs)
    return replace(
        made,
        epochs=epochs,
        data=replace(made.data, test_examples=images),
        machine=replace(made.machine, name=machine),
        adapter_checksum="a",
    )


def run_of_seven(**changes):
    return [result(name, loss=LOSSES[name], accuracy=ACCURACIES[name], **changes) for name in LOSSES]


def test_the_recorded_defect_is_found_by_its_loss_and_by_its_accuracy_and_no_other_backend_is_named():
    assert judged(LOSSES, ACCURACIES) == {
        "wrong": "loss 0.432 after epoch 1, the median of the others is 0.22;"
        " accuracy 95.98 %, the median of the others is 98.72 %"
    }
    assert list(judged(LOSSES)) == list(judged(dict.fromkeys(LOSSES, 0.22), ACCURACIES)) == ["wrong"]


@pytest.mark.parametrize("run", ["results/breadth", "results/baselines/quick", "results/reference"])
def test_every_run_that_is_kept_agrees(run):
    """Made on another day and machine, with one epoch of 4,000 images to 50 of MNIST."""
    records, _ = read_run(PROJECT / run)
    found = agreement(records)
    assert len(found) == len(records)
    assert not any(found.values())


@pytest.mark.parametrize("deviation", [-0.099, 0.099])
def test_a_loss_within_a_tenth_of_the_median_agrees(deviation):
    assert judged({**dict.fromkeys("abcd", 0.22), "x": 0.22 * (1 + deviation)}) == {}
    assert list(judged({**dict.fromkeys("abcd", 0.22), "x": 0.22 * (1 + 1.03 * deviation)})) == ["x"]


def test_one_result_far_off_makes_no_other_disagree():
    """The mean of the others would be 200,000."""
    assert list(judged({"a": 0.22, "b": 0.22, "c": 0.22, "d": 0.22, "x": 1e6})) == ["x"]


def test_of_three_the_two_that_agree_stand_and_of_three_different_ones_none_does():
    assert list(judged({"a": 0.22, "b": 0.221, "x": 0.432})) == ["x"]
    assert list(judged({"a": 0.22, "b": 0.33, "c": 0.44})) == ["a", "b", "c"]
    assert list(judged({"a": 0.22, "b": 0.22, "c": 0.22, "x": 0.43, "y": 0.6})) == ["x", "y"]


def test_of_two_that_disagree_nobody_says_which_is_wrong():
    assert judged({"a": 0.22, "b": 0.25}) == {
        "a": "loss 0.22 after epoch 1, b has 0.25; these two disagree, and one is wrong",
        "b": "loss 0.25 after epoch 1, a has 0.22; these two disagree, and one is wrong",
    }
    assert list(judged({"a": 0.22, "b": 0.22}, {"a": 0.98, "b": 0.90})) == ["a", "b"]
    assert judged({"a": 0.22, "b": 0.23}) == {}


def test_an_accuracy_must_be_below_the_others_by_six_standard_errors_and_by_a_point():
    alike = dict.fromkeys("abcx", 0.22)

    def found(accuracy, images=10_000, others=0.98):
        return list(judged(alike, {**dict.fromkeys("abc", others), "x": accuracy}, images))

    assert found(0.9655) == ["x"]  # 6 standard errors of 0.23 points are 1.37
    assert found(0.9670) == []
    assert found(0.9850) == []
    assert found(0.62, images=1000, others=0.70) == []  # a correct pair that was seen: 3.8 standard errors
    assert found(0.9750, images=10**6) == []  # 36 standard errors, half a point
    assert found(0.9690, images=10**6) == ["x"]


def test_a_job_that_is_still_running_is_judged_by_its_loss_alone():
    group = [Result(name, name, 0.22, 0.98, 1000) for name in "abc"]
    assert judge([*group, Result("x", "x", 0.43, None, 1000)])["x"].startswith("loss 0.43")
    assert judge([*group, Result("x", "x", 0.22, None, 1000)])["x"] == ""


def test_of_two_backends_only_the_wrong_round_of_one_disagrees():
    rounds = [result(name, key=f"{name}{turn}", round=turn) for name in "ab" for turn in (0, 1)]
    rounds[-1] = result("b", key="b1", round=1, loss=0.43)
    assert [key for key, why in agreement(rounds).items() if why] == ["b1"]


def test_a_line_names_its_batch_size_round_and_machine_where_there_are_several():
    jobs = [
        result(name, key=f"{name}{size}{turn}{machine}", batch_size=size, round=turn, machine=machine)
        for name in "abx"
        for size in (32, 64)
        for turn in (0, 1)
        for machine in "mn"
    ]
    jobs[-1] = result("x", key="x641n", batch_size=64, round=1, machine="n", loss=0.43)
    [box] = alarm_blocks(epochs_frame(jobs))
    assert box.lines[0].startswith("softmax x cpu, seed 0, round 1, batch size 64 on n: loss 0.43 after epoch 1")
    assert len(box.lines) == 1


def test_native_mode_is_not_the_fastest_of_a_cell_whose_matched_results_disagree():
    native = result("a", key="n", mode="native")
    frame = summarise(epochs_frame([result("a"), result("b", loss=0.43), native]))
    assert frame["times_fastest"].isna().all()
    assert summarise(epochs_frame([native]))["times_fastest"].tolist() == [1.0]


def test_a_copy_under_another_name_does_not_hide_a_wrong_result(bench, tmp_path):
    """Both have one key, and the second one is right."""
    written(tmp_path / "r", run_of_seven())
    copy = json.loads((tmp_path / "r" / "jobs" / "wrong.json").read_text())
    copy["epochs"] = [{**epoch, "running_loss": 0.22, "test_accuracy": 0.98} for epoch in copy["epochs"]]
    (tmp_path / "r" / "jobs" / "x-copy.json").write_text(json.dumps({**copy, "job": {**copy["job"], "seed": 1}}))
    code, _, errors = bench("report", "r")
    assert code == 1
    assert "x-copy.json: damaged, left out" in errors


def test_a_display_begins_at_once_however_many_records_there_are(monkeypatch):
    """Counted, as times differ: each earlier record is kept, and none is judged."""
    earlier = [result(name, key=f"{name}{turn}", round=turn) for name in "abcdefgh" for turn in range(50)]
    monkeypatch.setattr("bench.progress.judge", lambda _: pytest.fail("judged"))
    display = ProgressDisplay(Console(file=io.StringIO()), earlier)
    assert sum(map(len, display._groups.values())) == 400


def test_rounds_of_a_backend_count_as_one_backend():
    alone = [result("a", key=f"a{turn}", loss=0.2 + 0.1 * turn, round=turn) for turn in range(3)]
    assert agreement(alone) == {}
    rounds = [result(name, key=f"{name}{turn}", round=turn) for name in "abc" for turn in range(3)]
    wrong = result("a", key="a3", loss=0.43, round=3)
    assert [key for key, why in agreement([*rounds, wrong]).items() if why] == ["a3"]


@pytest.mark.parametrize(
    "other",
    [
        {"seed": 1},
        {"batch_size": 64},
        {"device": "cuda:0"},
        {"threads": 2},
        {"data": "e"},
        {"machine": "n"},
        {"workload": "mlp-relu"},
        {"workload": replace(find_workload("softmax"), loss="mean_squared_error")},
        {"mode": "native"},
        {"status": "diverged"},
    ],
    ids=str,
)
def test_what_was_not_the_same_work_is_not_compared(other):
    others = [result(name) for name in "abc"]
    assert agreement([*others, result("x", loss=0.43)])["x"]
    apart = agreement([*others, result("x", loss=0.43, **other)])
    assert "x" not in apart
    assert not any(apart.values())


def test_another_title_is_the_same_work():
    renamed = replace(find_workload("softmax"), title="another")
    assert agreement([result("a"), result("b"), result("x", loss=0.43, workload=renamed)])["x"]


def test_a_job_that_disagrees_is_in_no_ratio_ranking_equality_or_break_even():
    rounds = [record for turn in range(12) for record in run_of_seven(round=turn)]
    rounds = [replace(record, key=f"{record.key}{record.job.round}") for record in rounds]
    names = {"wrong": "pytorch-compiled", "a": "pytorch"}
    records = [
        replace(record, job=replace(record.job, backend=names.get(record.job.backend, record.job.backend)))
        for record in rounds
    ]
    frame = epochs_frame(records)
    frame = frame.assign(label=label(frame))
    assert frame.groupby("backend", observed=True)["agrees"].first().to_dict() == {
        **dict.fromkeys(("pytorch", *"bcdef"), True),
        "pytorch-compiled": False,
    }
    assert not any("pytorch-compiled" in (pair.ours, pair.theirs) for pair in pairs_of(frame))
    assert len(pairs_of(frame)) == 15
    assert tuned_blocks(frame) == native_blocks(summarise(frame)) == []
    assert not any(
        row[1] == "pytorch-compiled" for block in equality_blocks(frame) for row in getattr(block, "rows", ())
    )
    [row] = [row for row in summarise(frame).to_dict("records") if row["backend"] == "pytorch-compiled"]
    assert (row["status"], row["agrees"], row["ok_jobs"], row["jobs"]) == ("disagrees", False, 0, 12)
    assert not row["times_fastest"] > 0


def test_a_run_until_it_is_precise_does_not_wait_for_a_result_that_disagrees():
    """The wrong backend's times scatter from round to round, the others' do not."""
    rounds = [replace(record, key=f"{record.key}{turn}") for turn in range(12) for record in run_of_seven(round=turn)]
    slower = [
        tuple(
            replace(epoch, training=replace(epoch.training, wall_seconds=1.0 + record.job.round))
            for epoch in record.epochs
        )
        for record in rounds
    ]
    wrong = [
        replace(record, epochs=epochs) if record.job.backend == "wrong" else record
        for record, epochs in zip(rounds, slower, strict=True)
    ]
    assert widest(wrong) == widest([record for record in wrong if record.job.backend != "wrong"]) == 0.0


def test_a_seed_that_disagrees_is_left_out_of_its_backends_figures_and_said():
    seeds = [result(name, key=f"{name}{seed}", seed=seed) for name in "abx" for seed in (0, 1)]
    seeds[-1] = result("x", key="x1", seed=1, loss=0.43, accuracy=0.5)
    [row] = [row for row in summarise(epochs_frame(seeds)).to_dict("records") if row["backend"] == "x"]
    assert (row["status"], row["ok_jobs"], row["jobs"], row["agrees"]) == ("ok", 1, 2, False)
    assert row["test_accuracy"] == 0.98
    assert "loss 0.43" in row["disagreement"]


def test_a_seed_that_failed_does_not_hide_one_that_disagrees():
    seeds = [result(name, key=f"{name}{seed}", seed=seed) for name in "abx" for seed in (0, 1)]
    seeds[-2:] = [result("x", key="x0", status="failed"), result("x", key="x1", seed=1, loss=0.43)]
    [row] = [row for row in summarise(epochs_frame(seeds)).to_dict("records") if row["backend"] == "x"]
    assert row["status"] == "disagrees"


def test_no_test_image_says_nothing_of_accuracy():
    assert judged({"a": 0.22, "b": 0.22}, {"a": 0.9, "b": 0.5}, images=0) == {}


def test_one_backend_alone_is_neither_right_nor_wrong():
    frame = epochs_frame([result("a")])
    assert frame["agrees"].isna().all()
    assert summarise(frame)["agrees"].isna().all()


def written(folder, records):
    for record in records:
        write_record(folder / "jobs", record)


def rows_of(path):
    return {row["backend"]: row for row in csv.DictReader(path.read_text().splitlines())}


def test_the_report_says_it_at_the_top_in_red_in_the_csv_last_and_by_its_exit_code(bench, tmp_path):
    written(tmp_path / "r", run_of_seven(workload="cnn"))
    code, output, _ = bench("report", "r")
    assert code == 1
    assert output.splitlines()[-1] == "1 of 7 results disagrees with the other backends: wrong on cnn"
    assert output.splitlines()[-2].startswith(
        "cnn wrong cpu, seed 0: loss 0.432 after epoch 1, the median of the others"
    )
    page = (tmp_path / "r" / "report.md").read_text()
    assert page.index("> [!CAUTION]\n> **1 of 7 results disagrees") < page.index("## ")
    assert "> - cnn wrong cpu, seed 0: loss 0.432" in page
    assert "95.98 %" not in page.replace("accuracy 95.98 %, the median of the others", "")
    html = (tmp_path / "r" / "report.html").read_text()
    assert html.index("</h1>") < html.index('<section class="alarm" role="alert">') < html.index("<h2>")
    rows = rows_of(tmp_path / "r" / "summary.csv")
    assert (rows["a"]["agrees"], rows["wrong"]["agrees"]) == ("True", "False")
    assert rows["wrong"]["disagreement"].startswith("loss 0.432")
    rows = rows_of(tmp_path / "r" / "epochs.csv")
    assert (rows["a"]["agrees"], rows["wrong"]["agrees"], rows["wrong"]["status"]) == ("True", "False", "disagrees")
    record = json.loads((tmp_path / "r" / "jobs" / "wrong.json").read_text())
    assert record["status"] == "ok"
    assert "disagree" not in str(record)


def test_a_run_whose_backends_agree_is_quiet(bench, tmp_path):
    written(tmp_path / "r", run_of_seven(workload="cnn")[:-1])
    code, output, _ = bench("report", "r")
    assert code == 0
    for text in (output, (tmp_path / "r" / "report.md").read_text(), (tmp_path / "r" / "report.html").read_text()):
        assert "disagree" not in text.lower().replace("terms on which frameworks disagree", "")
        assert 'class="alarm"' not in text


def test_whatever_was_proven_it_disagrees_here(bench, tmp_path):
    records = [replace(record, job=replace(record.job, backend="pytorch")) for record in run_of_seven()[-1:]]
    written(tmp_path / "r", [*run_of_seven()[:-1], *records])
    proof = made_proof(machine=replace(this_machine(), name="m"), adapter_checksum="a")
    (tmp_path / "proofs").mkdir()
    from bench.proof import write_proof

    write_proof(proof, tmp_path / "proofs")
    code, output, _ = bench("report", "r")
    assert code == 1
    assert "\npytorch disagrees here on softmax. Not proven equal" in output
    for line in (tmp_path / "r" / "report.md").read_text().splitlines():
        if "pytorch" in line and "proven on this machine" in line:
            assert line.endswith("of the tolerance; but it disagrees here on softmax |")
            break
    else:
        raise AssertionError("the page does not say that pytorch was proven")


def test_a_comparison_and_an_export_say_it_too(bench, tmp_path):
    written(tmp_path / "r", run_of_seven())
    written(tmp_path / "s", run_of_seven()[:-1])
    code, output, _ = bench("compare", "r", "s", "--output", "out")
    assert code == 1
    assert output.splitlines()[-1] == "1 of 13 results disagrees with the other backends: wrong on softmax"
    assert 'class="alarm"' in (tmp_path / "out" / "report.html").read_text()
    code, output, errors = bench("export", "r", "--pytest-benchmark")
    assert code == 0
    assert "1 of 7 results disagrees" in errors
    assert "softmax[wrong]" not in output
    assert "softmax[a]" in output


def test_a_table_for_a_page_of_ones_own_has_no_accuracy_of_it(bench, tmp_path):
    written(tmp_path / "r", run_of_seven())
    page = tmp_path / "page.md"
    page.write_text("<!-- accuracy table: begin -->\n<!-- accuracy table: end -->\n")
    code, output, _ = bench("report", "r", "--into", "page.md")
    assert code == 1
    assert "1 of 7 results disagrees" in output
    assert "| disagrees |" in page.read_text()
    assert "95.98" not in page.read_text()


class Task:
    """What the display asks of a task."""

    def __init__(self, record):
        self.key, self.job, self.data = record.key, record.job, replace_data(record)


def replace_data(record):
    from bench.data import DataSet

    return DataSet(
        name="d",
        folder="",
        checksum=record.data.checksum,
        train_examples=1000,
        test_examples=record.data.test_examples,
        shape=(28, 28, 1),
        classes=10,
    )


def shown(records, earlier=(), *, advance=False):
    """The lines of a display, with their colours, to which jobs end one after the other."""
    console = Console(file=io.StringIO(), width=200, force_terminal=True, color_system="standard", legacy_windows=False)
    display = ProgressDisplay(console, earlier)
    tasks = [Task(record) for record in records]
    display.planned(tasks)
    for task, record in zip(tasks, records, strict=True):
        display.started(task)
        display.advanced(task, record.epochs[:1])
        if advance:
            return display._bar.tasks[0].description
        display.ended(task, record, old=False)
    return [line for line in console.file.getvalue().splitlines() if line.strip()]


def test_a_jobs_own_line_is_red_as_soon_as_it_ends():
    lines = shown(run_of_seven())
    assert len(lines) == 7
    red = [line for line in lines if "\x1b[1;31m" in line]
    assert red == [lines[-1]]
    assert "wrong" in red[0]
    assert "DISAGREES: loss 0.432 after epoch 1, the median of the others is 0.22" in red[0]


def test_a_backend_is_judged_by_all_its_rounds():
    """Of two backends one is wrong in its third round: its first two say which."""
    rounds = [result(name, key=f"{name}{turn}", round=turn) for turn in range(3) for name in "ab"]
    rounds[-1] = result("b", key="b2", loss=0.43, round=2)
    lines = shown(rounds)
    assert [number for number, line in enumerate(lines) if "DISAGREES" in line] == [5]
    assert len(lines) == 6


def test_while_it_runs_it_is_red_after_its_first_epoch():
    right, wrong = run_of_seven(batch_size=128)[:-1], run_of_seven(batch_size=128)[-1:]
    assert shown(wrong, right, advance=True) == "[bold red]1/1 softmax wrong DISAGREES[/]"
    assert shown(right[:1], right[1:], advance=True) == "1/1 softmax a"
    assert shown(wrong, advance=True) == "1/1 softmax wrong"


def test_a_job_that_runs_again_is_not_compared_with_its_earlier_record():
    """`x` was wrong in an older adapter, and is right now."""
    stale = [replace(result("x", key="old", loss=0.43), started="2025-01-01T00:00:00Z")]
    lines = shown([result("a"), result("x")], [*stale, result("b")])
    assert not any("DISAGREES" in line or "after all" in line for line in lines)


def test_what_ended_before_it_could_be_known_is_shown_again():
    right, [wrong] = run_of_seven()[:2], run_of_seven()[-1:]
    lines = [re.sub(r"\x1b\[[0-9;]*m", "", line) for line in shown([wrong, *right])]
    said = ("these two disagree", "the median of the others", "agrees after all")
    assert [(line[1], *(text in line for text in said)) for line in lines] == [
        ("1", False, False, False),  # alone
        ("1", True, False, False),  # of two, both
        ("2", True, False, False),
        ("3", False, False, False),
        ("2", False, False, True),
    ]


def test_broken_gradients_are_found_in_a_real_run_and_the_bench_stays_red_on_every_look(mnist_5k, tmp_path, bench):
    """Workers of their own, the command's own report."""
    adapters = {
        "one": "backends.reference:Reference",
        "two": "backends.reference:Reference",
        "broken": "tests.faulty:HasNoGradients",
    }
    tasks = [
        replace(make_task(adapter, mnist_5k, backend=name, epochs=2), key=name) for name, adapter in adapters.items()
    ]
    file = io.StringIO()
    display = ProgressDisplay(Console(file=file, width=200))
    display.planned(tasks)
    records = run_tasks(tasks, tmp_path / "r", this_machine(), LIMITS, display, retry=False)
    assert [record.status for record in records] == ["ok"] * 3
    assert "broken" in [line for line in file.getvalue().splitlines() if "DISAGREES" in line][-1]
    for _ in range(2):
        code, output, _ = bench("report", "r")
        assert code == 1
        assert output.splitlines()[-1] == "1 of 3 results disagrees with the other backends: broken on softmax"
        assert Path("r/report.md").read_text().count("> [!CAUTION]") == 1
