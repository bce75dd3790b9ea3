"""Results that their own verification finds wrong, or not confirmed, in all that is reported."""

from __future__ import annotations

import csv
import io
import re

import pytest

from bench.records.stored import write
from bench.report.form.blocks import Table
from bench.report.frame.doubts import doubts_of, headline, lines_of, unconfirmed_lines
from bench.report.section import equality, opening, trust
from bench.report.terminal.plain import plain_console
from bench.report.terminal.results import print_table
from bench.report.terminal.summary import print_summary
from tests.support.agreement import result, verified
from tests.support.records import blocks_of, run_of

RED = "\x1b[1;31m"
REASON = "the change of 1.kernel in its first steps differs from the reference by 3 times"


def run_with_a_wrong_result(**changes):
    """Twelve rounds of two right backends, and one that is fast and wrong."""
    return [
        verified(
            result(name, key=f"{name}{turn}", round=turn, times=times, **changes),
            **{"1.kernel": deviation, "loss": 0.3},
        )
        for turn in range(12)
        for name, deviation, times in (
            ("pytorch", 0.5, (9.0, 2.0, 2.0, 2.0)),
            ("jax", 0.25, (9.0, 3.0, 3.0, 3.0)),
            ("tensorflow", 3.0, (9.0, 1.0, 1.0, 1.0)),
        )
    ]


def printed(run, show):
    console = plain_console(
        file=io.StringIO(),
        width=200,
        force_terminal=True,
        color_system="standard",
        legacy_windows=False,
    )
    show(run, console)
    return console.file.getvalue().splitlines()


def written(folder, records):
    for record in records:
        write(folder / "jobs", record)


def test_a_wrong_result_is_in_no_ranking_ratio_or_equality():
    run = run_of(*run_with_a_wrong_result())
    rows = {row["backend"]: row for row in run.summary.to_dict("records")}
    wrong = rows["tensorflow"]
    assert (wrong["status"], wrong["ok_jobs"], wrong["jobs"]) == ("wrong", 0, 12)
    assert wrong["reason"].startswith(REASON)
    assert wrong["doubt"].startswith(f"wrong: {REASON}")
    assert not wrong["times_fastest"] > 0
    assert (rows["pytorch"]["times_fastest"], rows["pytorch"]["status"]) == (1.0, "ok")
    assert not any("tensorflow" in (pair.backend, pair.other) for pair in run.pairs)
    [table] = blocks_of(Table, equality.section(run))
    assert [row[1] for row in table.rows] == ["jax", "pytorch"]


@pytest.mark.parametrize("show", [print_summary, print_table])
def test_a_wrong_result_is_red_in_the_terminal(show):
    lines = printed(run_of(*run_with_a_wrong_result()), show)
    [line] = [line for line in lines if "tensorflow" in line and "on " not in line]
    assert RED in line
    assert "wrong" in line
    assert not any(RED in line for line in lines if "pytorch" in line)


def test_the_first_line_counts_what_is_wrong_in_doubt_or_verified():
    def first(*records):
        return next(line for line in printed(run_of(*records), print_summary) if line)

    right = [verified(result(name), loss=0.5) for name in "ab"]
    assert "run: all 2 results agree, 2 of 2 are verified by their first steps" in first(*right)
    assert "run: all 2 results agree, 1 of 2 are verified by their first steps" in first(
        right[0], result("b")
    )
    assert first(result("a"), result("b")).endswith("run: all 2 results agree\x1b[0m")
    wrong = verified(result("x"), loss=3.0)
    assert "run: results that must not be used, of 3: 1 WRONG" in first(*right, wrong)
    off = result("y", loss=0.9)
    assert "run: results that must not be used, of 4: 1 WRONG, 1 DISAGREES" in first(
        *right, wrong, off
    )
    assert "run: results that must not be used, of 1: 1 SUSPECT" in first(result("a", accuracy=0.1))
    # An unconfirmed result is not counted as verified.
    pair = [
        verified(result("a", device="cuda:0"), loss=0.5),
        verified(result("b", device="cuda:0"), loss=3.0),
    ]
    assert "run: all 2 results agree, 1 of 2 are verified by their first steps" in first(*pair)


def test_each_doubt_is_named_and_counted():
    jobs = run_of(
        result("a"),
        result("b"),
        result("off", loss=0.43),
        verified(result("x"), loss=3.0),
        verified(result("y"), loss=3.0),
        result("alone", accuracy=0.1, seed=1),
    ).jobs
    assert headline(jobs) == (
        "2 of 6 results differ from the reference: x on cnn, y on cnn;"
        " 1 of 6 results disagrees with the other backends: off on cnn;"
        " 1 of 6 results is suspect: alone on cnn"
    )
    assert len(lines_of(jobs)) == 4
    assert unconfirmed_lines(jobs) == []
    assert {place[0]: text for place, text in doubts_of(jobs).items()} == {
        "off": "disagrees here on cnn",
        "x": "is wrong here on cnn",
        "y": "is wrong here on cnn",
        "alone": "is suspect here on cnn",
    }


def test_a_wrong_result_is_named_in_the_alarm_the_page_the_files_and_by_the_exit_code(
    bench, tmp_path
):
    written(tmp_path / "r", run_with_a_wrong_result())
    code, output, _ = bench("report", "r")
    assert code == 1
    last = output.splitlines()[-1]
    assert last == "12 of 36 results differ from the reference: tensorflow on cnn"
    assert f"cnn tensorflow cpu, seed 0, round 0: {REASON} its tolerance" in output
    assert "tensorflow is wrong here on cnn." in output
    page = (tmp_path / "r" / "report.md").read_text()
    assert page.index(f"> [!CAUTION]\n> **{last}") < page.index("## ")
    assert f"{last}; see the red box." in page
    assert '<section class="alarm" role="alert">' in (tmp_path / "r" / "report.html").read_text()
    with (tmp_path / "r" / "summary.csv").open() as file:
        rows = {row["backend"]: row for row in csv.DictReader(file)}
    assert (rows["tensorflow"]["status"], rows["pytorch"]["status"]) == ("wrong", "ok")
    code, output, errors = bench("export", "r", "--pytest-benchmark")
    assert code == 0
    assert last in errors
    assert "cnn[tensorflow]" not in output
    assert "cnn[pytorch]" in output


def test_a_wrong_result_of_one_backend_alone_is_reported_too(bench, tmp_path):
    written(tmp_path / "r", [verified(result("pytorch"), prediction=2.0)])
    code, output, _ = bench("report", "r")
    assert code == 1
    assert output.splitlines()[-1] == "1 of 1 results differs from the reference: pytorch on cnn"
    written(tmp_path / "s", [verified(result("pytorch"), prediction=0.5)])
    code, output, _ = bench("compare", "r", "s", "--output", "out")
    assert code == 1
    assert output.splitlines()[-1] == "1 of 2 results differs from the reference: pytorch on cnn"


def test_an_unconfirmed_result_is_ranked_and_has_a_note(bench, tmp_path):
    records = run_with_a_wrong_result(device="cuda:0")
    run = run_of(*records)
    rows = {row["backend"]: row for row in run.summary.to_dict("records")}
    assert {row["status"] for row in rows.values()} == {"ok"}
    assert rows["tensorflow"]["times_fastest"] == 1.0
    assert rows["tensorflow"]["doubt"].startswith(f"unconfirmed: {REASON}")
    assert rows["pytorch"]["doubt"] == ""
    assert headline(run.jobs) == ""
    [note, *_] = unconfirmed_lines(run.jobs)
    assert note == (f"cnn tensorflow cuda:0, seed 0, round 0: unconfirmed: {REASON} its tolerance")
    assert note in opening.notes(run)
    assert opening.alarm(run.jobs) == []
    for show in (print_summary, print_table):
        lines = printed(run, show)
        assert any(note in re.sub(r"\x1b\[[0-9;]*m", "", line) for line in lines)
        assert not any(RED in line for line in lines)
    written(tmp_path / "r", records)
    code, output, _ = bench("report", "r")
    assert code == 0
    assert note in " ".join(output.split())
    assert note in (tmp_path / "r" / "report.md").read_text()


def test_the_page_says_how_many_jobs_were_verified_themselves_and_to_what_deviation():
    def finding(*records):
        return trust._finding(run_of(*records))

    right = [verified(result("a"), loss=0.5), verified(result("b"), loss=0.25)]
    assert "2 jobs trained their first steps again" in finding(*right)
    assert "The largest deviation is 0.50 of its tolerance" in finding(*right)
    assert "trained their first steps again" not in finding(result("a"), result("b"))
    off = verified(result("c", device="cuda:0"), loss=3.0)
    assert "2 jobs trained their first steps again" in finding(*right, off)
    assert "The largest deviation is 0.50 of its tolerance" in finding(*right, off)
