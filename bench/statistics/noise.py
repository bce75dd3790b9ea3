"""The timing noise of a machine: how far two identical backends differ, and what a run can find.

A calibration runs a backend against itself. Every two jobs in a row are a pair: one counts as the
first backend and one as the second. The order alternates from pair to pair, as in a run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from math import isfinite
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
from msgspec import Struct

from bench.machine import disturbance
from bench.machine.host import gpu_kind
from bench.records.job import Record, in_precision
from bench.records.key import job_key
from bench.records.noise import Calibration
from bench.records.turns import Turns
from bench.statistics.sequential import (
    EVERY_ROUND,
    rounds_needed,
    share_interval,
    smallest_visible_difference,
)
from bench.statistics.steady import CLOCKS, steady_seconds, warm_ups
from bench.statistics.timing import MARGIN, VERDICT_LEVEL, compare, log_ratios
from bench.statistics.turns import ProcessSpread

# Pairs of processes by turns, from the machine of `results/speed`; see `process_spread`.
_SHIPPED = Path(__file__).with_name("process_spreads.json")
# The number of rounds of a comparison when false alarms are counted: the fewest that allow a
# verdict.
SHORT = EVERY_ROUND.next_look(0, VERDICT_LEVEL) or 0
DIFFERENCES = (0.02, 0.05, 0.1, 0.2)


def calibrate(records: Iterable[Record], taken: Iterable[Turns]) -> list[Calibration]:
    """One calibration per job, machine, kind of GPU and version of the adapter's code.

    The jobs of rounds 0 and 1, 2 and 3 ... are pairs, and a pair is a round of the calibration. A
    pair is left out if one of its jobs did not end ok.

    Args:
        records: the records of the jobs.
        taken: the turns of the pairs of jobs.
    """
    by_turns = _log_ratios_of_turns(taken)
    by_setup: dict[tuple[object, ...], dict[int, Record]] = {}
    for record in records:
        job = msgspec.structs.replace(record.job, round=0)
        machine = (record.machine.name, gpu_kind(record.machine, job.device))
        setup = (job, record.data.checksum, machine, record.adapter_checksum)
        by_setup.setdefault(setup, {})[record.job.round] = record
    calibrations = [_calibration(by_round, by_turns) for by_round in by_setup.values()]
    return [calibration for calibration in calibrations if calibration is not None]


def false_alarms(ratios: Sequence[float], rounds: int) -> tuple[int, int]:
    """Split a series into comparisons of `rounds` rounds each, and count the false alarms.

    A comparison is a false alarm if it named a faster backend after any of its rounds.

    Args:
        ratios: logarithms of time ratios, in the order of rounds.
        rounds: the number of rounds of a comparison.

    Returns:
        (number of false alarms, number of comparisons)
    """
    starts = range(0, len(ratios) - rounds + 1, rounds)
    return sum(_is_alarm(ratios[start : start + rounds]) for start in starts), len(starts)


def describe(calibration: Calibration, rounds: int, *, by_turns: bool = False) -> str:
    """A text on a calibration.

    Args:
        calibration: the calibration.
        rounds: the number of rounds of the table that the text is about.
        by_turns: whether its times are from turns. If not, the text has the smallest difference
            that these rounds show.
    """
    source = (
        f"{in_precision(calibration.backend, calibration.precision)} against itself,"
        f" {calibration.workload},"
        f" {len(calibration.wall)} rounds on {calibration.machine.name}"
    )
    if by_turns and calibration.turns:
        middle, most = _spread_by_turns(calibration), max(map(abs, calibration.turns))
        return (
            f"Noise ({source}): by turns, half of the pairs of processes differ by more than"
            f" {_percent(np.expm1(middle))}, and all by at most {_percent(np.expm1(most))}."
        )
    alarms, trials = false_alarms(calibration.wall, SHORT)
    scatter = _percent(calibration.scatter)
    text = f"Noise ({source}): half of the rounds differ by more than {scatter}"
    if trials:
        low, high = (_percent(share) for share in share_interval(alarms, trials))
        text += f"; {alarms} of {trials} comparisons wrongly named a faster one ({low} to {high})"
    return f"{text}. {describe_visible(calibration, rounds)}"


def describe_visible(calibration: Calibration, rounds: int) -> str:
    """A sentence on the smallest difference that `rounds` rounds find."""
    if rounds < SHORT:
        return f"Fewer than {SHORT} rounds cannot show a difference."
    visible = smallest_visible_difference(
        calibration.wall, min(rounds, EVERY_ROUND.last), VERDICT_LEVEL
    )
    if visible is None:
        return f"After {rounds} rounds no difference is found reliably."
    return f"After {rounds} rounds a difference of {_percent(visible)} is found in 19 of 20 runs."


def rounds_by_difference(calibration: Calibration) -> list[tuple[float, int | None, int | None]]:
    """The number of rounds that find each of `DIFFERENCES` in 19 of 20 runs.

    Returns:
        per difference (its share, rounds by wall time, rounds by CPU time); a number is None if
            even the most rounds are too few.
    """
    return [
        (
            difference,
            rounds_needed(calibration.wall, difference, VERDICT_LEVEL),
            rounds_needed(calibration.cpu, difference, VERDICT_LEVEL),
        )
        for difference in DIFFERENCES
    ]


def process_spread(record: Record, calibrations: Sequence[Calibration]) -> ProcessSpread:
    """How much two processes of one backend differ on a record's machine, device and threads.

    It uses a calibration with turns of this machine, device, threads, workload and precision. Other
    workloads may differ more. So without one it uses the largest spread of the calibrations of this
    machine, and of measurements of another machine.
    """
    training = record.job.workload.name, record.job.precision
    with_turns = {
        (calibration.workload, calibration.precision): calibration
        for calibration in sorted(_of_place(record, calibrations), key=_spread_by_turns)
        if calibration.turns
    }
    chosen = with_turns.values() if training not in with_turns else [with_turns[training]]
    spreads = [
        ProcessSpread(
            log_ratios=calibration.turns,
            source=f"{calibration.backend} on {calibration.workload},"
            f" {len(calibration.turns)} pairs of processes",
        )
        for calibration in chosen
    ]
    if training not in with_turns:
        spreads.append(_spread_elsewhere(record.job.workload.name))
    return max(spreads, key=lambda spread: median(map(abs, spread.log_ratios)))


def _spread_by_turns(calibration: Calibration) -> float:
    """How much two processes differed by turns, in the middle; 0 without turns."""
    return median(map(abs, calibration.turns)) if calibration.turns else 0.0


def noise_of(record: Record, calibrations: Sequence[Calibration]) -> Calibration | None:
    """The calibration of a record's machine, device and number of threads; None if there is none.

    Of several, it is the one with the most rounds.
    """
    return max(
        _of_place(record, calibrations), key=lambda calibration: len(calibration.wall), default=None
    )


def _of_place(record: Record, calibrations: Sequence[Calibration]) -> list[Calibration]:
    """The calibrations of a record's machine, device and number of threads."""
    job, machine = record.job, record.machine
    return [
        calibration
        for calibration in calibrations
        if (calibration.machine.name, calibration.machine.cpu) == (machine.name, machine.cpu)
        and (calibration.device, calibration.threads) == (job.device, job.threads)
        and gpu_kind(calibration.machine, calibration.device) == gpu_kind(machine, job.device)
    ]


class _Shipped(Struct, frozen=True, kw_only=True):
    """Pairs of processes that were measured on another machine."""

    workload: str
    backend: str
    machine: str
    log_ratios: tuple[float, ...]


@cache
def _shipped() -> list[_Shipped]:
    return msgspec.json.decode(_SHIPPED.read_bytes(), type=list[_Shipped])


def _spread_elsewhere(workload: str) -> ProcessSpread:
    """The shipped spread of a workload; else the largest one."""
    of_workload = [shipped for shipped in _shipped() if shipped.workload == workload]
    chosen = max(
        of_workload or _shipped(), key=lambda shipped: median(map(abs, shipped.log_ratios))
    )
    source = f"{chosen.backend} on {chosen.workload}, measured on another machine"
    return ProcessSpread(
        log_ratios=chosen.log_ratios, source=f"{source} ({chosen.machine}); see bench calibrate"
    )


def _log_ratios_of_turns(taken: Iterable[Turns]) -> dict[frozenset[str], float]:
    """The keys of two jobs -> the median over sweeps of the logarithm of their time ratio."""
    log_ratio_of_jobs = {}
    for turns in taken:
        if len(turns.members) == 2 and turns.sweeps and not turns.refused:  # noqa: PLR2004
            first, second = turns.members
            logs = np.log(first.epoch_seconds) - np.log(second.epoch_seconds)
            log_ratio_of_jobs[frozenset((first.job, second.job))] = float(np.median(logs))
    return log_ratio_of_jobs


def _calibration(
    by_round: dict[int, Record], by_turns: Mapping[frozenset[str], float]
) -> Calibration | None:
    """The calibration of records by round; None if no pair of rounds ended ok."""
    record = next(iter(by_round.values()))
    job = msgspec.structs.replace(record.job, round=0)
    machine = (record.machine.name, gpu_kind(record.machine, job.device))
    pairs = _pairs(by_round)
    if not pairs:
        return None
    warm_up = warm_ups(job_record for pair in pairs for job_record in pair)
    alternated = [pair if index % 2 == 0 else pair[::-1] for index, pair in enumerate(pairs)]
    wall, cpu = (
        log_ratios(
            [steady_seconds(first, warm_up[first.key], clock) for first, _ in alternated],
            [steady_seconds(second, warm_up[second.key], clock) for _, second in alternated],
        )
        for clock in CLOCKS
    )
    keys = (frozenset(record.key for record in pair) for pair in pairs)
    return Calibration(
        format=Calibration.FORMAT,
        key=job_key(job, record.data.checksum, record.adapter_checksum, *machine),
        machine=record.machine,
        device=job.device,
        threads=job.threads,
        precision=job.precision,
        backend=job.backend,
        workload=job.workload.name,
        dataset=job.dataset,
        epochs=job.epochs,
        batch_size=job.batch_size,
        versions=record.versions,
        wall=tuple(map(float, wall)),
        cpu=tuple(map(float, cpu)),
        turns=tuple(by_turns[pair] for pair in keys if pair in by_turns),
        disturbed=sum(map(_is_disturbed, pairs)),
        ended=max(job_record.started for job_record in by_round.values()),
    )


def _is_disturbed(pair: tuple[Record, Record]) -> bool:
    return any(disturbance.reasons(record.disturbance) for record in pair)


def _pairs(by_round: dict[int, Record]) -> list[tuple[Record, Record]]:
    """The records of rounds 0 and 1, 2 and 3 ..., if both ended ok."""
    pairs = [
        (by_round[number], by_round[number + 1])
        for number in sorted(by_round)
        if number % 2 == 0 and number + 1 in by_round
    ]
    return [pair for pair in pairs if all(record.status == "ok" for record in pair)]


def _is_alarm(ratios: Sequence[float]) -> bool:
    """Whether a comparison of identical backends names a faster one after any of its rounds."""
    for rounds in range(SHORT, len(ratios) + 1):
        outcome = compare(np.exp(ratios[:rounds]), np.ones(rounds), margin=MARGIN).outcome
        if outcome in ("faster", "slower"):
            return True
    return False


def _percent(share: float) -> str:
    if not isfinite(share):
        return "?"
    return f"{100 * share:.2g} %" if share < 1 else f"{100 * share:,.0f} %"
