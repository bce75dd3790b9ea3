"""Runs side by side: which results share a row, what is kept apart, and what is refused."""

from __future__ import annotations

import io
import json

import pandas as pd
import pytest
from msgspec.structs import replace

from bench.records import stored
from bench.records.files import RunError
from bench.report.compare import Comparison
from bench.report.form.blocks import Table
from bench.report.terminal.plain import plain_console
from tests.support.records import make_record


def write(folder, *records):
    for record in records:
        stored.write(folder / "jobs", record)
    return folder


def printed(comparison) -> str:
    console = plain_console(width=100, file=io.StringIO())
    comparison.print_table(console)
    return console.file.getvalue()


def on(record, machine):
    return replace(
        record, key=f"{record.key}{machine}", machine=replace(record.machine, name=machine)
    )


def test_the_same_training_on_two_machines_stands_side_by_side_with_its_ratio(tmp_path):
    slow = make_record("a", times=(8.0, 4.0, 4.0, 4.0))
    comparison = Comparison(
        [write(tmp_path / "old", slow), write(tmp_path / "new", on(make_record("a"), "other"))]
    )
    assert comparison.setups == ["old", "new"]
    text = printed(comparison)
    assert "4.00 s ~1.00x" in text
    assert "2.00 s ~0.50x" in text


def test_machines_and_devices_in_one_run_are_setups_too(tmp_path):
    run = write(tmp_path / "both", make_record("a"), on(make_record("a"), "n2"))
    assert Comparison([run]).setups == ["m", "n2"]
    run = write(tmp_path / "devices", make_record("a"), make_record("b", device="mps"))
    assert Comparison([run]).setups == ["cpu", "mps"]


@pytest.mark.parametrize(
    "other", [{"data": "e"}, {"batch_size": 64}, {"times": (1.0,) * 5, "accuracies": (0.9,) * 5}]
)
def test_other_data_batches_or_epochs_never_stand_in_one_row(tmp_path, other):
    first, second = make_record("a"), make_record("a", **other)
    comparison = Comparison([write(tmp_path / "x", first), write(tmp_path / "y", second)])
    assert len(comparison._trainings()) == 2
    assert printed(comparison).count("~1.00x") == 2
    if "data" in other:
        assert "softmax: rows that differ in data set are not compared." in " ".join(
            comparison.notes()
        )


def test_runs_of_one_name_are_told_apart_by_their_folders(tmp_path):
    runs = [write(tmp_path / node / "quick", make_record("a")) for node in ("n1", "n2")]
    assert Comparison(runs).setups == ["n1/quick", "n2/quick"]


def test_versions_that_differ_are_named_by_setup(tmp_path):
    one, other = (
        replace(make_record("a"), versions={"torch": version, "numpy": "2"})
        for version in ("2.12", "2.13")
    )
    comparison = Comparison([write(tmp_path / "x", one), write(tmp_path / "y", other)])
    assert "reference: torch 2.12 in x; 2.13 in y" in comparison.notes()
    assert comparison._versions().rows == (
        ("reference", "torch 2.12, numpy 2", "torch 2.13, numpy 2"),
    )


def test_ratios_are_to_the_first_setup_that_ended_well(tmp_path):
    bad = make_record("a", status="failed")
    runs = [
        write(tmp_path / name, record)
        for name, record in (("x", bad), ("y", make_record("a")), ("z", make_record("a")))
    ]
    assert printed(Comparison(runs)).count("~1.00x") == 2


def test_a_ratio_to_a_single_round_is_provisional(tmp_path):
    runs = [
        write(tmp_path / "x", make_record("a")),
        write(tmp_path / "y", make_record("a"), make_record("b", round=1)),
    ]
    text = printed(Comparison(runs))
    assert text.count("~1.00x") == 2
    assert "~ provisional: one of the two times comes from a single round." in text


def test_runs_in_which_nothing_ended_well_are_compared_without_a_traceback(bench, tmp_path):
    for name in ("x", "y"):
        write(tmp_path / name, make_record("a", status="failed"))
    code, output, _ = bench("compare", "x", "y", "--output", "out")
    assert code == 0
    assert "softmax reference, y: failed, why" in output
    (tmp_path / "file").write_text("")
    code, _, errors = bench("compare", "x", "y", "--output", "file")
    assert code == 2
    assert "is a file" in errors


def test_what_failed_in_one_setup_is_named(tmp_path):
    runs = [
        write(tmp_path / "x", make_record("a")),
        write(tmp_path / "y", make_record("a", status="failed")),
    ]
    comparison = Comparison(runs)
    assert "softmax reference, y: failed, why" in comparison.notes()
    assert "failed" in printed(comparison)


def test_one_setup_is_nothing_to_compare(tmp_path):
    run = write(tmp_path / "x", make_record("a"))
    with pytest.raises(RunError, match="only one run"):
        Comparison([run])
    with pytest.raises(RunError, match="named twice"):
        Comparison([run, run])


@pytest.mark.usefixtures("whole")
def test_the_command_prints_and_writes_a_page(bench, tmp_path):
    write(tmp_path / "x", make_record("a"))
    write(tmp_path / "y", make_record("a"))
    code, output, _ = bench("compare", "x", "y", "--output", "out")
    assert code == 0
    assert "softmax" in output
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "comparison.csv",
        "plots",
        "report.html",
        "report.md",
    }
    page = (tmp_path / "out" / "report.md").read_text()
    assert "| softmax | reference | 2.00 s (~1.00x) | 2.00 s (~1.00x) |" in page
    assert "| y | 1 | 1.00x | 1.00x | 1.00x |" in page  # the geometric mean
    assert "](plots/ratios.png)" in page


def test_nothing_in_common_is_said_first(bench, tmp_path):
    write(tmp_path / "x", make_record("a"))
    write(tmp_path / "y", make_record("a", batch_size=64))
    assert bench("compare", "x", "y", "--output", "out")[0] == 0
    page = (tmp_path / "out" / "report.md").read_text()
    assert page.startswith("# x and y compared\n\n> [!WARNING]\n> **Nothing in common**")


def test_a_ratio_to_another_setup_than_the_first_is_in_no_mean(tmp_path):
    """The training of the second workload failed in the first setup."""
    fast = {"workload": "cnn", "times": (9.0, 0.1, 0.1, 0.1)}
    runs = [
        write(tmp_path / "x", make_record("a"), make_record("b", workload="cnn", status="failed")),
        write(tmp_path / "y", make_record("a"), make_record("b", workload="cnn")),
        write(
            tmp_path / "z", make_record("a", times=(9.0, 4.0, 4.0, 4.0)), make_record("b", **fast)
        ),
    ]
    [means] = [b for b in Comparison(runs).blocks() if isinstance(b, Table) and "mean" in str(b)]
    assert means.rows[1] == ("z", "1", "2.00x", "2.00x", "2.00x")


def test_a_comparison_overwrites_no_report_of_a_run(bench, tmp_path):
    write(tmp_path / "x", make_record("a"))
    write(tmp_path / "y", make_record("a"))
    code, _, errors = bench("compare", "x", "y", "--output", "x")
    assert code == 2
    assert "is a run, whose report would be overwritten" in errors
    assert not (tmp_path / "x" / "report.md").exists()


def test_a_run_is_exported_as_json_lines_and_csv(bench, tmp_path):
    write(tmp_path / "x", make_record("a"), make_record("b", seed=1))
    code, *_ = bench("export", "x", "--output", "x.jsonl")
    assert code == 0
    assert [
        json.loads(line)["key"] for line in (tmp_path / "x.jsonl").read_text().splitlines()
    ] == ["a", "b"]
    code, _, _ = bench("export", "x", "--format", "csv", "--output", "x.csv")
    assert len(pd.read_csv("x.csv")) == 8
