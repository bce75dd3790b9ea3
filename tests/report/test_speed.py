"""The report's section on which backend is faster.

Pairs are undecided until there are enough rounds; a pair gives the same verdict in both orders.
"""

from __future__ import annotations

import numpy as np

from bench.report.form.document import Table
from bench.report.frame.epochs import epochs_frame
from bench.report.frame.places import places
from bench.report.frame.summary import summarise
from bench.report.section.speed import mark_unsure, pairs_of, ratio_blocks, unsure
from tests.support.records import make_record


def rounds(count, **factors):
    """Records of some backends over rounds, with 1 % of noise.

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
    return epochs_frame(records)


def test_too_few_rounds_decide_nothing_and_the_report_says_how_many_would():
    [_, text] = ratio_blocks(pairs_of(rounds(3, pytorch=1.0, jax=2.0)))
    assert text.text == "Undecided, after 3 of the 11 rounds that a verdict takes: `--rounds 11`."
    [_, text] = ratio_blocks(
        pairs_of(rounds(11, pytorch=1.0, jax=2.0, tensorflow=3.0, reference=4.0))
    )
    assert "after 11 of the 12 rounds that a verdict among 6 pairs of backends takes" in text.text
    [_, _, table] = ratio_blocks(
        pairs_of(rounds(12, pytorch=1.0, jax=2.0, tensorflow=3.0, reference=4.0))
    )
    assert not any("undecided" in cell for row in table.rows for cell in row)


def test_a_difference_is_found_in_disturbed_rounds_and_reads_the_same_both_ways():
    [_, text, table] = ratio_blocks(pairs_of(rounds(14, jax=1.0, pytorch=2.0)))
    assert isinstance(table, Table)
    assert table.columns == ("workload", "backend", "against jax", "against pytorch")
    (_, _, own, first), (_, _, second, _) = table.rows
    assert own == "-"
    assert first.startswith("0.50x (0.49 to 0.51)")
    assert first.endswith("**faster**")
    assert second.startswith("2.0")
    assert second.endswith("**slower**")
    assert "Of 1 pairs 0 are undecided." in text.text


def test_equal_ones_are_the_same_and_a_failed_job_leaves_its_round_out():
    frame = rounds(30, pytorch=1.0, jax=1.0)
    frame["status"] = frame["status"].astype(str)
    frame.loc[(frame["round"] == 3) & (frame["backend"] == "jax"), "status"] = "failed"
    [_, _, table] = ratio_blocks(pairs_of(frame))
    assert table.rows[0][3].endswith("**same**")


def test_one_backend_or_native_ones_alone_are_no_race():
    assert ratio_blocks(pairs_of(rounds(12, pytorch=1.0))) == []
    frame = rounds(12, pytorch=1.0, jax=1.0)
    assert ratio_blocks(pairs_of(frame.assign(mode="native"))) == []


def test_a_ratio_to_the_fastest_that_is_not_certain_has_a_mark_and_a_certain_one_has_none():
    frame = rounds(14, pytorch=1.0, jax=1.005, reference=3.0)
    tables = {heading: unsure(pairs_of(group)) for heading, group in places(frame)}
    marked = mark_unsure(summarise(frame), tables).set_index("backend")["unsure"]
    assert marked.to_dict() == {"pytorch": False, "jax": True, "reference": False}
    frame = rounds(3, pytorch=1.0, jax=2.0)
    tables = {heading: unsure(pairs_of(group)) for heading, group in places(frame)}
    assert mark_unsure(summarise(frame), tables)["unsure"].sum() == 1  # too few rounds for anything


def test_one_contestants_interval_is_over_processes_and_few_have_none():
    rows = summarise(rounds(14, pytorch=1.0)).iloc[0]
    assert (
        rows["epoch_seconds_sure_low"] <= rows["epoch_seconds"] <= rows["epoch_seconds_sure_high"]
    )
    assert np.isnan(summarise(rounds(5, pytorch=1.0)).iloc[0]["epoch_seconds_sure_low"])
    slow_first = [
        make_record(f"j{turn}", times=(5.0, 1.0), accuracies=(0.9,) * 2, round=turn)
        for turn in range(14)
    ]
    rows = summarise(epochs_frame(slow_first)).iloc[0]
    # Only steady epochs count.
    assert rows["epoch_seconds_sure_low"] == rows["epoch_seconds_sure_high"] == 1.0
