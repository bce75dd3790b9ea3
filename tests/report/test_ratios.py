"""The report's section on which backend is faster.

Pairs are undecided until there are enough rounds; a pair gives the same verdict in both orders.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from bench.report.form.document import Table
from bench.report.section import ratios
from tests.support.records import blocks_of, make_record, run_of, summary


def rounds(count, **factors):
    """A run of some backends over rounds, with 1 % of noise.

    Each backend's epochs are longer by its own factor.
    """
    random = np.random.RandomState(0)
    records = []
    for turn in range(count):
        disturbed = 5.0 if turn % 4 == 0 else 1.0  # the whole round, as a busy machine does
        for backend, factor in factors.items():
            times = disturbed * factor * np.exp(0.01 * random.normal(size=4))
            records.append(
                make_record(f"{backend}{turn}", times=tuple(times), backend=backend, round=turn)
            )
    return run_of(*records)


def test_too_few_rounds_decide_nothing_and_the_report_says_how_many_would():
    [_, text] = ratios.section(rounds(3, pytorch=1.0, jax=2.0))
    assert text.text == "Undecided: 3 of 11 rounds done. For a verdict: `--rounds 11`."
    [_, text] = ratios.section(rounds(11, pytorch=1.0, jax=2.0, tensorflow=3.0, reference=4.0))
    assert "11 of 12 rounds done (6 pairs of backends)" in text.text
    [_, _, table, _] = ratios.section(
        rounds(12, pytorch=1.0, jax=2.0, tensorflow=3.0, reference=4.0)
    )
    assert not any("undecided" in cell for row in table.rows for cell in row)


def test_a_difference_is_found_in_disturbed_rounds_and_reads_the_same_both_ways():
    [_, text, table, _] = ratios.section(rounds(14, jax=1.0, pytorch=2.0))
    assert isinstance(table, Table)
    assert table.columns == ("workload", "backend", "compared with jax", "compared with pytorch")
    (_, _, own, first), (_, _, second, _) = table.rows
    assert own == "-"
    assert first.startswith("0.50x (0.49 to 0.51)")
    assert first.endswith("**faster**")
    assert second.startswith("2.0")
    assert second.endswith("**slower**")
    assert "Of 1 pairs 0 are undecided." in text.text


def test_equal_ones_are_the_same_and_a_failed_job_leaves_its_round_out():
    records = [
        replace(record, status="failed") if record.key == "jax3" else record
        for record in rounds(30, pytorch=1.0, jax=1.0).records
    ]
    run = run_of(*records)
    assert run.pairs[0].comparison.rounds == 29
    [table] = blocks_of(Table, ratios.section(run))
    assert table.rows[0][3].endswith("**same**")


def test_one_backend_or_native_ones_alone_are_not_compared():
    assert ratios.section(rounds(12, pytorch=1.0)) == []
    matched = rounds(12, pytorch=1.0, jax=1.0).records
    records = [replace(r, job=replace(r.job, mode="native")) for r in matched]
    assert ratios.section(run_of(*records)) == []


def test_a_ratio_to_the_fastest_that_is_not_certain_has_a_mark_and_a_certain_one_has_none():
    marked = rounds(14, pytorch=1.0, jax=1.005, reference=3.0).summary.set_index("backend")
    assert marked["unsure"].to_dict() == {"pytorch": False, "jax": True, "reference": False}
    few = rounds(3, pytorch=1.0, jax=2.0)
    assert few.summary["unsure"].sum() == 1  # too few rounds for anything


def test_one_backends_interval_is_over_jobs_and_few_have_none():
    rows = rounds(14, pytorch=1.0).summary.iloc[0]
    assert (
        rows["epoch_seconds_sure_low"] <= rows["epoch_seconds"] <= rows["epoch_seconds_sure_high"]
    )
    assert np.isnan(rounds(5, pytorch=1.0).summary.iloc[0]["epoch_seconds_sure_low"])
    slow_first = [
        make_record(f"j{turn}", times=(5.0, 1.0), accuracies=(0.9,) * 2, round=turn)
        for turn in range(14)
    ]
    rows = summary(*slow_first).iloc[0]
    # Only steady epochs count.
    assert rows["epoch_seconds_sure_low"] == rows["epoch_seconds_sure_high"] == 1.0
