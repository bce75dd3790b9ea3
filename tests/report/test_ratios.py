"""The report's section on which backend is faster.

Pairs are undecided until there are enough rounds; a pair gives the same verdict in both orders.
"""

from __future__ import annotations

import re

import numpy as np
import pytest
from msgspec.structs import replace
from rich.console import Console

from bench.records.turns import Member, Turns
from bench.report.form.blocks import Table
from bench.report.section import ratios
from bench.report.section.opening import notes
from bench.report.terminal.summary import print_summary
from bench.statistics.turns import ProcessSpread
from bench.worker.lines import Turn
from tests.support.records import UNSEEN, blocks_of, make_record, run_of, summary


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


def section_of(run):
    """The order of the first workload, the sentence below it, and the table of all pairs."""
    items, text, folded = ratios.section(run)
    return items.lines[0], text.text, folded.blocks[0]


def test_too_few_rounds_decide_nothing_and_the_report_says_how_many_would():
    order, text, _ = section_of(rounds(3, pytorch=1.0, jax=2.0))
    assert order == "softmax: pytorch = jax"
    assert (
        "In 0 of 1 pairs one backend is faster. Undecided or equal: softmax jax / pytorch 2.0"
        in text
    )
    assert re.search(r"`--rounds \d+` \(about \d+ min more\) detects differences of \d+ %", text)
    four = {"pytorch": 1.0, "jax": 2.0, "tensorflow": 3.0, "reference": 4.0}
    assert "In 0 of 6 pairs one backend is faster" in section_of(rounds(11, **four))[1]
    order, text, table = section_of(rounds(12, **four))
    assert order == "softmax: pytorch < jax < tensorflow < reference"
    signs = "Each with the next one: `<`: faster; `=`: undecided, or equal."
    assert text == f"{signs} In all 6 pairs one backend is faster."
    assert not any("undecided" in cell for row in table.rows for cell in row)


def test_a_difference_is_found_in_disturbed_rounds_and_reads_the_same_both_ways():
    _, text, table = section_of(rounds(14, jax=1.0, pytorch=2.0))
    assert isinstance(table, Table)
    assert table.columns == ("workload", "backend", "compared with jax", "compared with pytorch")
    (_, _, own, first), (_, _, second, _) = table.rows
    assert own == "-"
    assert first.startswith("0.50x (0.49 to 0.51)")
    assert first.endswith("**faster**")
    assert second.startswith("2.0")
    assert second.endswith("**slower**")
    assert text.endswith("One backend is faster.")


def turns_of(run, seconds, *, number=0, sweeps=9):
    """The turns of a round: backend -> the seconds of an epoch; 1 % of noise."""
    random = np.random.default_rng(number)
    jobs = {r.job.backend: r.key for r in run.records if r.job.round == number}
    members = tuple(
        Member(
            job=jobs[name],
            backend=name,
            is_new=False,
            share=2.0,
            turns=tuple(
                Turn(
                    wall_seconds=2 * time * random.normal(1, 0.01),
                    cpu_seconds=time,
                    waited_seconds=1.0,
                    waited_cpu_seconds=0.0,
                )
                for _ in range(sweeps)
            ),
        )
        for name, time in seconds.items()
    )
    return Turns(
        format=Turns.FORMAT,
        key=f"turns{number}",
        machine=run.records[0].machine,
        versions={},
        members=members,
        orders=((0, 1),) * sweeps,
        refused="",
        disturbance=None,
        started="2026-11-29T00:00:00Z",
        wall_seconds=20.0,
    )


# Twenty pairs of processes that differ by 3 %.
SPREAD = ProcessSpread(log_ratios=(0.03, -0.03) * 10, source="a test")


def with_turns(run, *turns):
    """A new run of the same records, with turns."""
    new = run_of(*run.records)
    new.turns = list(turns)
    new.spread_of = lambda _: SPREAD
    return new


def test_turns_of_one_round_tell_a_large_difference_and_not_that_of_two_processes():
    alone = rounds(1, pytorch=1.0, jax=1.0, tensorflow=1.0)
    run = with_turns(alone, turns_of(alone, {"pytorch": 0.1, "jax": 0.15, "tensorflow": 0.155}))
    order, text, _ = section_of(run)
    assert order == "softmax: pytorch < jax = tensorflow"
    assert (
        "In 2 of 3 pairs one backend is faster. Undecided or equal: softmax jax / tensorflow 0.9"
        in text
    )
    rows = run.summary.set_index("backend")
    assert rows.loc["jax", "epoch_seconds"] == pytest.approx(0.15, rel=0.02)
    assert rows.loc["jax", "times_fastest"] == pytest.approx(1.5, rel=0.02)
    assert rows["turns"].tolist() == [9, 9, 9]
    console = Console(width=80, record=True)
    print_summary(run, console)
    assert "fastest: pytorch (softmax)" in console.export_text()


def test_a_workload_of_one_epoch_has_one_column_also_if_a_backend_cannot_train_it():
    able = [make_record(n, backend=n, times=(2.0,), accuracies=(0.1,)) for n in ("jax", "pytorch")]
    alone = run_of(*able, make_record("b", backend="b", status="unsupported", epochs=1))
    run = with_turns(alone, turns_of(alone, {"jax": 0.1, "pytorch": 0.2}))
    console = Console(width=80, record=True)
    print_summary(run, console)
    lines = map(str.split, console.export_text().splitlines())
    assert [line for line in lines if line and {*line} <= {"softmax", "softmax*"}] == [["softmax"]]


def test_turns_of_several_rounds_tell_a_small_difference():
    many = rounds(12, pytorch=1.0, jax=1.0)
    luck = np.random.default_rng(5).normal(1, 0.02, 12)
    run = with_turns(
        many,
        *(
            turns_of(many, {"pytorch": 0.1, "jax": 0.11 * luck[number]}, number=number)
            for number in range(12)
        ),
    )
    assert section_of(run)[0] == "softmax: pytorch < jax"


def test_rounds_without_turns_do_not_count_if_other_rounds_have_turns():
    """A run on a busy machine may take turns later; then its epochs must not change the ratios."""
    many = rounds(3, pytorch=1.0, jax=5.0)
    run = with_turns(many, turns_of(many, {"pytorch": 0.1, "jax": 0.15}))
    rows = run.summary.set_index("backend")
    assert rows.loc["jax", "times_fastest"] == pytest.approx(1.5, rel=0.02)
    assert rows.loc["jax", "epoch_seconds"] == pytest.approx(0.15, rel=0.02)
    assert run.pairs[0].comparison.ratio == pytest.approx(1.5, rel=0.02)
    assert many.pairs[0].comparison.ratio == pytest.approx(5, rel=0.1)


def busy_lines(run):
    return [line for line in notes(run) if "was busy" in line]


def test_a_machine_that_was_busy_before_the_turns_or_during_them():
    busy = replace(UNSEEN, other_cpu=0.5)
    quiet = rounds(2, pytorch=1.0, jax=1.0)
    turns = turns_of(quiet, {"pytorch": 0.1, "jax": 0.15})
    assert not busy_lines(with_turns(quiet, turns))
    in_turns = with_turns(quiet, replace(turns, disturbance=busy))
    [line] = busy_lines(in_turns)
    assert "in the only round" in line
    assert "this was while backends took turns: ratios of time are less sure" in line
    loud = run_of(*(replace(record, disturbance=busy) for record in quiet.records))
    before = with_turns(loud, turns)
    [line] = busy_lines(before)
    assert "in 2 of 2 rounds (other processes used 50 % of its CPUs)" in line
    assert "this affects start-up and time to accuracy; epoch times come from turns" in line
    native = make_record("n", backend="jax", mode="native", times=(1.0,) * 4)
    beside = run_of(*quiet.records, replace(native, disturbance=busy))
    beside.turns, beside.spread_of = [turns], lambda _: SPREAD
    [line] = busy_lines(beside)
    assert "epoch times come from turns" not in line


def test_epochs_that_took_much_longer_than_turns_are_told_unless_the_machine_was_busy():
    alone = rounds(1, pytorch=1.0, jax=1.0)  # epochs of 5 s
    turns = turns_of(alone, {"pytorch": 3.0, "jax": 4.5})
    [told] = [line for line in notes(with_turns(alone, turns)) if "by turns (" in line]
    assert told.startswith("softmax pytorch cpu: its epochs took 5.")
    assert "by turns (a factor of 1.7), and the machine was not busy" in told
    shorter = turns_of(alone, {"pytorch": 5.0, "jax": 9.0})
    [told] = [line for line in notes(with_turns(alone, shorter)) if "by turns (" in line]
    assert told.startswith("softmax jax")
    assert "(a factor of 1.8)" in told
    busy = replace(UNSEEN, other_cpu=0.5)
    loud = run_of(*(replace(record, disturbance=busy) for record in alone.records))
    for run in (with_turns(loud, turns), with_turns(alone, replace(turns, disturbance=busy))):
        assert not [line for line in notes(run) if "by turns (" in line]


def test_turns_that_were_refused_do_not_count():
    alone = rounds(1, pytorch=1.0, jax=1.0)
    turns = turns_of(alone, {"pytorch": 0.1, "jax": 0.15})
    run = with_turns(alone, replace(turns, refused="jax used 3 % of a core while it waited"))
    assert run.summary["turns"].tolist() == [0, 0]
    assert section_of(run)[0].count("=") == 1
    assert any("3 % of a core" in line for line in notes(run))


def test_backends_whose_turns_were_apart_are_compared_by_their_epochs():
    alone = rounds(1, pytorch=1.0, jax=3.0)
    one, other = (
        replace(turns_of(alone, {"pytorch": 0.1, "jax": 0.1}), key=key, members=members)
        for key in ("a", "b")
        for members in [()]
    )
    both = turns_of(alone, {"pytorch": 0.1, "jax": 0.1}).members
    run = with_turns(alone, replace(one, members=both[:1]), replace(other, members=both[1:]))
    assert run.pairs[0].comparison.ratio == pytest.approx(3, rel=0.1)


def test_equal_ones_are_the_same_and_a_failed_job_leaves_its_round_out():
    records = [
        replace(record, status="failed") if record.key == "jax3" else record
        for record in rounds(30, pytorch=1.0, jax=1.0).records
    ]
    run = run_of(*records)
    assert run.pairs[0].comparison.rounds == 29
    [table] = blocks_of(Table, ratios.section(run))
    assert table.rows[0][3].endswith("**same**")


def test_more_rounds_cost_what_the_rounds_of_all_seeds_took():
    """A round is two seeds of two jobs, so half of the rounds that the seeds need."""
    records = [
        replace(make_record(f"{backend}{seed}", backend=backend, seed=seed), wall_seconds=30.0)
        for backend in ("jax", "pytorch")
        for seed in (0, 1)
    ]
    run = run_of(*records)
    run.spread_of = lambda _: SPREAD
    more = ratios.more_rounds(run)
    assert more.option > 1
    assert more.minutes == pytest.approx((more.option - 1) * 4 * 30 / 60)


def test_backends_without_a_seed_in_common_are_undecided_and_more_rounds_are_not_counted():
    run = run_of(make_record("a", backend="a", seed=0), make_record("b", backend="b", seed=1))
    assert ratios.more_rounds(run) is None
    assert ratios.section(run)


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
