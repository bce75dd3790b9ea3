"""The timing noise of a machine: how far identical contestants differ, and what is still visible.

A calibration runs a backend against itself: of every two jobs in a row one plays the first
contestant and one the second, and they change places from round to round, as contestants do.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import isfinite

import msgspec
import numpy as np

from bench.machine import disturbance
from bench.machine.host import gpu_kind
from bench.records.job import Record
from bench.records.key import job_key
from bench.records.noise import Calibration
from bench.statistics.sequential import (
    EVERY_ROUND,
    rounds_needed,
    share_interval,
    smallest_visible_difference,
)
from bench.statistics.steady import CLOCKS, steady_seconds, warm_ups
from bench.statistics.timing import MARGIN, VERDICT_LEVEL, compare, log_ratios

# Rounds of a comparison when false alarms are counted: the fewest that allow a verdict.
SHORT = EVERY_ROUND.next_look(0, VERDICT_LEVEL) or 0
DIFFERENCES = (0.02, 0.05, 0.1, 0.2)


def calibrate(records: Iterable[Record]) -> list[Calibration]:
    """A calibration per contestant and place (machine and device).

    The jobs of rounds 0 and 1, 2 and 3 ... are pairs, and a pair is a round of the calibration. A
    pair of which a job did not end ok is left out. When the text of an adapter changes, it is
    another contestant.
    """
    groups: dict[tuple[object, ...], dict[int, Record]] = {}
    for record in records:
        job = msgspec.structs.replace(record.job, round=0)
        place = (record.machine.name, gpu_kind(record.machine, job.device))
        group = groups.setdefault((job, record.data.checksum, place, record.adapter_checksum), {})
        group[record.job.round] = record
    return [found for group in groups.values() if (found := _calibration(group)) is not None]


def false_alarms(ratios: Sequence[float], rounds: int) -> tuple[int, int]:
    """Cut a series into comparisons of so many rounds, and count those that are false alarms.

    Args:
        ratios: logarithms, in order.
        rounds: of a comparison.

    Returns:
        (how many comparisons named a faster contestant at any look, how many there are)
    """
    whole = range(0, len(ratios) - rounds + 1, rounds)
    return sum(_alarms(ratios[start : start + rounds]) for start in whole), len(whole)


def say(found: Calibration, rounds: int) -> str:
    """What a calibration means for a table of so many rounds, in a sentence or two."""
    alarms, trials = false_alarms(found.wall, SHORT)
    who = (
        f"{found.backend} against itself, {found.workload}, {len(found.wall)} rounds on"
        f" {found.machine.name}"
    )
    text = f"Noise ({who}): half of the rounds differ by more than {_percent(found.scatter)}"
    if trials:
        low, high = (_percent(share) for share in share_interval(alarms, trials))
        text += f"; {alarms} of {trials} comparisons named a faster one ({low} to {high})"
    return f"{text}. {say_visible(found, rounds)}"


def say_visible(found: Calibration, rounds: int) -> str:
    """The difference that so many rounds show, in a sentence."""
    if rounds < SHORT:
        return f"No difference is sure in fewer than {SHORT} rounds."
    visible = smallest_visible_difference(found.wall, min(rounds, EVERY_ROUND.last), VERDICT_LEVEL)
    if visible is None:
        return f"After {rounds} rounds no difference is found for sure."
    return f"After {rounds} rounds a difference of {_percent(visible)} is found in 19 of 20 runs."


def needed(found: Calibration) -> list[tuple[float, int | None, int | None]]:
    """The number of rounds that find each of `DIFFERENCES` in 19 of 20 runs.

    Returns:
        per difference (its share, rounds by wall time, rounds by CPU time); None: too many rounds.
    """
    return [
        (
            difference,
            rounds_needed(found.wall, difference, VERDICT_LEVEL),
            rounds_needed(found.cpu, difference, VERDICT_LEVEL),
        )
        for difference in DIFFERENCES
    ]


def noise_of(record: Record, found: Sequence[Calibration]) -> Calibration | None:
    """The calibration of a record's place (machine, device, threads); None if there is none.

    Of several it is the one with most rounds.
    """
    job, machine = record.job, record.machine
    there = [
        one
        for one in found
        if (one.machine.name, one.device, one.threads) == (machine.name, job.device, job.threads)
        and one.machine.cpu == machine.cpu
        and gpu_kind(one.machine, one.device) == gpu_kind(machine, job.device)
    ]
    return max(there, key=lambda one: len(one.wall), default=None)


def _calibration(group: dict[int, Record]) -> Calibration | None:
    first = next(iter(group.values()))
    job = msgspec.structs.replace(first.job, round=0)
    place = (first.machine.name, gpu_kind(first.machine, job.device))
    pairs = [
        (group[turn], group[turn + 1])
        for turn in sorted(group)
        if turn % 2 == 0 and turn + 1 in group
    ]
    whole = [pair for pair in pairs if all(record.status == "ok" for record in pair)]
    if not whole:
        return None
    early = warm_ups(record for pair in whole for record in pair)
    sides = [pair if number % 2 == 0 else pair[::-1] for number, pair in enumerate(whole)]
    wall, cpu = (
        log_ratios(
            [steady_seconds(ours, early[ours.key], clock) for ours, _ in sides],
            [steady_seconds(theirs, early[theirs.key], clock) for _, theirs in sides],
        )
        for clock in CLOCKS
    )
    return Calibration(
        format=Calibration.FORMAT,
        key=job_key(job, first.data.checksum, first.adapter_checksum, *place),
        machine=first.machine,
        device=job.device,
        threads=job.threads,
        backend=job.backend,
        workload=job.workload.name,
        dataset=job.dataset,
        epochs=job.epochs,
        batch_size=job.batch_size,
        versions=first.versions,
        wall=tuple(map(float, wall)),
        cpu=tuple(map(float, cpu)),
        disturbed=sum(
            any(disturbance.say(record.disturbance) for record in pair) for pair in whole
        ),
        ended=max(record.started for record in group.values()),
    )


def _alarms(ratios: Sequence[float]) -> bool:
    """Whether any look at a series of identical contestants names a faster one."""
    for rounds in range(SHORT, len(ratios) + 1):
        outcome = compare(np.exp(ratios[:rounds]), np.ones(rounds), margin=MARGIN).outcome
        if outcome in ("faster", "slower"):
            return True
    return False


def _percent(share: float) -> str:
    if not isfinite(share):
        return "?"
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:,.0f} %"
