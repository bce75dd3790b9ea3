"""Precisions in the report: never ranked together, named, and compared in a section of theirs."""

from __future__ import annotations

import io

import pytest
from msgspec.structs import replace

from bench.records import stored
from bench.records.limits import FOLDER
from bench.report.compare import Comparison
from bench.report.form.blocks import Table
from bench.report.section import native, opening, trust, tuned, utilization
from bench.report.terminal.plain import plain_console
from bench.statistics.agreement import agreement
from tests.support.records import (
    blocks_of,
    made_limits,
    made_verification,
    make_record,
    run_of,
)
from tests.support.records import (
    native as in_native_mode,
)

FAST, SLOW = (9.0, 1.0, 1.0, 1.0), (9.0, 2.0, 2.0, 2.0)


def four(**changes):
    """Two backends in two precisions; bfloat16 takes half of the time."""
    return [
        make_record(
            f"{number}{place}{seed}",  # in the order in which they started
            times=FAST if precision == "bfloat16" else SLOW,
            backend=backend,
            precision=precision,
            seed=seed,
            **changes,
        )
        for number, precision in enumerate(("float32", "bfloat16"))
        for place, backend in enumerate(("pytorch", "jax"))
        for seed in (0, 1)
    ]


def test_backends_are_ranked_within_a_precision_and_named_with_it():
    run = run_of(*four())
    names = ["pytorch", "jax", "pytorch (bfloat16)", "jax (bfloat16)"]
    assert run.summary["backend"].tolist() == names
    assert run.summary["precision"].tolist() == ["float32"] * 2 + ["bfloat16"] * 2
    assert run.summary["times_fastest"].tolist() == [1.0] * 4, "each is as fast as its fastest"
    assert {(pair.backend, pair.other) for pair in run.pairs} == {
        ("pytorch", "jax"),
        ("pytorch (bfloat16)", "jax (bfloat16)"),
    }
    text = "Backends are compared within one precision; ratios are to the fastest backend of it."
    assert text in opening.meanings(run)
    assert text not in opening.meanings(run_of(*four()[:4]))


def test_losses_of_two_precisions_are_not_held_to_each_other():
    records = four()
    low = [
        replace(record, epochs=tuple(replace(e, running_loss=2 * e.running_loss) for e in r))
        for record in records
        if record.job.precision == "bfloat16"
        for r in [record.epochs]
    ]
    assert set(agreement([*records[:4], *low]).values()) == {""}
    wrong = replace(low[0], job=replace(low[0].job, precision="float32", backend="other"))
    assert agreement([*records[:4], wrong])[wrong.key]


def test_the_section_says_what_a_lower_precision_gains_and_costs():
    records = four(accuracies=(0.5, 0.9, 0.9, 0.9))
    worse = [
        replace(r, epochs=(*r.epochs[:3], replace(r.epochs[3], test_accuracy=0.88)))
        if r.job.precision == "bfloat16" and r.job.backend == "jax"
        else r
        for r in records
    ]
    [table] = blocks_of(Table, native.lower_precision(run_of(*worse)))
    rows = [dict(zip(table.columns, row, strict=True)) for row in table.rows]
    assert [row["backend"] for row in rows] == ["pytorch (bfloat16)", "jax (bfloat16)"]
    assert [row["ratio to float32"] for row in rows] == ["~0.50x", "~0.50x"]
    assert [row["epoch, float32"] for row in rows] == ["2.00 s", "2.00 s"]
    assert [row["difference, points"] for row in rows] == ["+0.00", "-2.00"]
    assert native.lower_precision(run_of(*worse[:4])) == []
    assert native.lower_precision(run_of(*worse[4:])) == []
    assert native.section(run_of(*worse)) == []


def test_native_mode_is_compared_with_matched_mode_of_its_precision():
    matched = make_record("m", backend="pytorch", precision="tf32")
    [table] = blocks_of(Table, native.section(run_of(matched, in_native_mode(matched))))
    assert table.rows[0][1] == "pytorch (tf32)"
    usual = make_record("u", backend="pytorch")
    assert native.section(run_of(usual, in_native_mode(matched))) == []


def test_tuned_variants_are_compared_in_each_precision():
    records = [
        make_record(f"{number}{backend}", backend=backend, precision=precision)
        for number, precision in enumerate(("float32", "bfloat16"))
        for backend in ("pytorch", "pytorch-compiled")
    ]
    [table] = blocks_of(Table, tuned.section(run_of(*records)))
    assert [row[1:3] for row in table.rows] == [
        ("pytorch-compiled", "pytorch"),
        ("pytorch-compiled (bfloat16)", "pytorch (bfloat16)"),
    ]


def test_each_precision_has_roofs_of_its_own(tmp_path):
    for key, precision, rate in (("a", "float32", 10e9), ("b", "bfloat16", 90e9)):
        limits = made_limits(rate, key=key, precision=precision, environment="torch")
        stored.write(tmp_path / FOLDER, limits)
    records = [r for r in four() if r.job.backend == "pytorch" and r.job.seed == 0]
    blocks = utilization.section(run_of(*records, folder=tmp_path))
    [_, rates] = blocks_of(Table, blocks)
    assert [row[0] for row in rates.rows] == ["torch", "torch (bfloat16)"]
    only_float32 = run_of(*records[1:], folder=tmp_path / "nowhere")
    assert utilization.section(only_float32) == []


def test_a_verification_is_valid_for_its_precision_alone():
    records = [r for r in four() if r.job.backend == "pytorch"]
    run = run_of(*(replace(record, adapter_checksum="a") for record in records))
    run.verifications = [made_verification()]
    line = trust.verification_line(run)
    assert line == (
        "Further checks of pytorch (bfloat16) were not run on this machine."
        " Run: `bench verify --precision bfloat16`"
    )
    run.verifications = [made_verification(), made_verification(precision="bfloat16")]
    assert "All backends are verified" in trust.verification_line(run)
    [table, *_] = blocks_of(Table, trust.section(run))
    assert [row[0] for row in table.rows] == ["pytorch", "pytorch (bfloat16)"]
    assert "verified on this machine" in table.rows[1][-1]


@pytest.mark.parametrize("together", [True, False])
def test_precisions_are_setups_that_are_compared_by_name(tmp_path, together):
    parts = four()[:4], four()[4:]
    folders = ["run", "run"] if together else ["a", "b"]
    for folder, records in zip(folders, parts, strict=True):
        for record in records:
            stored.write(tmp_path / folder / "jobs", record)
    comparison = Comparison([tmp_path / name for name in dict.fromkeys(folders)])
    names = ["float32", "bfloat16"] if together else ["a, float32", "b, bfloat16"]
    assert comparison.setups == names
    console = plain_console(width=120, file=io.StringIO())
    comparison.print_table(console)
    text = console.file.getvalue()
    assert text.count("~0.50x") == 2
    assert "a lower precision is a different computation" in text
