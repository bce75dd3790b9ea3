"""Compares two backends whose processes train by turns.

In a round, one fresh process of each backend trains. Then the processes of a group stay alive and
train by turns. In a sweep every backend has one turn, in random order. A pair of backends has one
ratio of neighbouring turns per sweep, and the median of a round's ratios is its value.

This value has two errors. First, two fresh processes of one backend differ in all turns, for
example by their memory layout; a calibration measures this spread (`ProcessSpread`). Second, turns
scatter, more so on a loaded machine; each round measures this scatter. A confidence sequence for
the mean of the rounds' values uses the larger error (`_Processes`). It needs one round if the
difference is large. A second test counts signs over rounds, as in `timing.compare`. It assumes
nothing about the size of errors and needs 12 rounds. Each test has half of the level, so either
test alone can decide.

Other rules were tried on simulated turns (`tests/support/turn_rounds.py`). Exact tests of nine
sweeps (signs, or turns exchanged within a sweep) have a p-value of at least 2 / 2^9, which is never
significant after one round with 63 pairs. A sum of both errors counts the turns' scatter twice, as
the calibration contains it, too. A mean that is weighted by each round's scatter prefers rounds
with a scatter that is small by accident. On a loaded machine it names a faster backend in 2 to 6 %
of comparisons of identical backends.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import exp, inf, isfinite, log, log1p, nan, sqrt
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.statistics.distributions import normal_quantile
from bench.statistics.sequential import EVERY_ROUND, POWER, rounds_needed
from bench.statistics.timing import (
    LEVEL,
    MARGIN,
    VERDICT_LEVEL,
    Comparison,
    Interval,
    comparison_of,
    median_interval,
)

# Fewer pairs of processes may contain no rare slow process.
FEWEST_PAIRS = 10
# With fewer turns, the scatter is too often small by accident. Of nine turns, one may be missing.
FEWEST_TURNS = 8
# Processes are assumed to differ by at least 1 %: a calibration can miss a rare slow process.
LEAST_SPREAD = 0.01
# A calibration is only a sample. On Gaussian noise nine of ten calibrations cover the spread.
_CAUTION = 0.1
# A small value moves the boundary nearer in the first rounds and farther in later rounds.
_PRIOR_ROUNDS = 0.5
# Later rounds may scatter more than the rounds so far. The second factor is for rounds that scatter
# more than the calibration: then only their own scatter predicts later rounds.
_RESERVE = 1.15
_LOUD_RESERVE = 1.3


class ProcessSpread(Struct, frozen=True, kw_only=True):
    """How far fresh processes of one backend differ.

    Attributes:
        log_ratios: one per pair of processes that trained by turns: the median of the sweeps' log
            ratios. The sign has no meaning. Empty if nothing is known.
        source: where they were measured, for reports: "pytorch on softmax, 24 pairs on this
            machine".
    """

    log_ratios: tuple[float, ...]
    source: str


NOTHING_KNOWN = ProcessSpread(log_ratios=(), source="nothing")


class _Processes(Struct, frozen=True, kw_only=True):
    """The test for the mean of rounds, with a known spread of processes.

    The boundary is valid after every round: a normal mixture (H. Robbins, Ann. Math. Stat. 41,
    1970). It holds for Gaussian errors of the given scale. In the simulation it also holds for
    errors with heavier tails.

    Attributes:
        rounds: the number of rounds with turns.
        mean: the mean of their log ratios.
        scale: the standard deviation of a round's log ratio.
    """

    rounds: int
    mean: float
    scale: float

    def half_width(self, level: float) -> float:
        """Half the width of the log ratio's interval, at this level for all looks together."""
        total = self.rounds + _PRIOR_ROUNDS
        return (
            self.scale * sqrt(total * (log(total / _PRIOR_ROUNDS) - 2 * log(level))) / self.rounds
        )

    def chance(self) -> float:
        """The p-value, valid at any look: the level whose interval ends at a ratio of 1."""
        total = self.rounds + _PRIOR_ROUNDS
        evidence = (self.rounds * self.mean / self.scale) ** 2 / (2 * total)
        return min(1.0, sqrt(total / _PRIOR_ROUNDS) * exp(-evidence))


class JobTimes(NamedTuple):
    """The times of a job.

    Attributes:
        session: the key of the job's turns; "" without turns.
        turns: the seconds per epoch in each turn: (sweeps,).
        epochs: the seconds per steady epoch; NaN without one.
    """

    session: str
    turns: NDArray[np.float64]
    epochs: float


def log_ratios_of(
    first: Mapping[tuple[int, int], JobTimes], second: Mapping[tuple[int, int], JobTimes]
) -> list[NDArray[np.float64]]:
    """The log ratios of two backends (first / second) of each round, for `compare_turns`.

    Each seed of a round counts as a separate round.

    Args:
        first: the times of the first backend's jobs, by round and seed.
        second: the same for the second backend.

    Returns:
        One array per round in which both trained by turns together: (sweeps,). Without any such
        round, one of (1,) per round with times of both, from their epochs.
    """
    jobs = [(first[number], second[number]) for number in sorted(first.keys() & second.keys())]
    by_turns = [
        np.log(one.turns) - np.log(other.turns)
        for one, other in jobs
        if one.session and one.session == other.session
    ]
    return by_turns or [
        np.array([np.log(one.epochs / other.epochs)])
        for one, other in jobs
        if isfinite(one.epochs) and isfinite(other.epochs)
    ]


def median_ratio(rounds: Sequence[NDArray[np.float64]]) -> float:
    """The ratio of two backends: the median of the rounds' medians; NaN without a round.

    Args:
        rounds: see `compare_turns`.
    """
    return float(np.exp(np.median([np.median(ratios) for ratios in rounds]))) if rounds else nan


def compare_turns(
    rounds: Sequence[NDArray[np.float64]], spread: ProcessSpread, margin: float = MARGIN
) -> Comparison:
    """Compare two backends; the result may be looked at after every round.

    Args:
        rounds: the log ratios (first / second) of each round, one per sweep: (sweeps,). A round
            with fewer than `FEWEST_TURNS` turns only counts for the signs; one without turns is
            left out.
        spread: the spread of processes on this machine. With fewer than `FEWEST_PAIRS` pairs only
            the signs count, with the whole level.
        margin: the smallest difference that matters, as a share.

    Returns:
        the comparison; its intervals contain the error of processes and of turns.

    Raises:
        ValueError: `margin` is not positive, or a log ratio is not finite.
    """
    if not margin > 0:
        raise ValueError(f"margin {margin}; expected more than 0")
    counted = [ratios for ratios in rounds if len(ratios)][: EVERY_ROUND.last]
    medians, errors = _measured(counted)
    processes = _processes(medians, errors, spread)
    usual, sure = (_interval(medians, processes, level) for level in (LEVEL, VERDICT_LEVEL))
    return comparison_of(medians, usual, sure, margin, _chance(medians, processes))


def rounds_to_find(
    difference: float,
    spread: ProcessSpread,
    rounds: Sequence[NDArray[np.float64]] = (),
    level: float = VERDICT_LEVEL,
) -> int | None:
    """The number of rounds that find a difference in 19 of 20 runs, including the rounds so far.

    Args:
        difference: as a share: 0.05 if one backend takes 5 % longer.
        spread: see `compare_turns`. Without it, the rounds' own scatter is used.
        rounds: the rounds so far, see `compare_turns`: they show how far turns scatter.
        level: the level of the verdict; `many.holm_level` gives the level within a table.

    Returns:
        The number, or None if `EVERY_ROUND.last` rounds are too few.

    Raises:
        ValueError: `difference` is not positive, or `level` is not between 0 and 1.
    """
    medians, errors = _measured([ratios for ratios in rounds if len(ratios)])
    spread_scale = _spread_scale(spread)
    if spread_scale is None:
        scatter = medians - np.median(medians) if len(medians) else medians
        return rounds_needed(list(scatter), difference, level)
    scale = _scale(medians, errors, spread_scale)
    # If rounds are noisier than the calibration, the calibration cannot predict their signs.
    quiet = scale <= spread_scale
    by_signs = rounds_needed(spread.log_ratios, difference, level / 2) if quiet else None
    scale *= _RESERVE if quiet else _LOUD_RESERVE
    enough = (
        count for count in range(1, EVERY_ROUND.last + 1) if _finds(count, scale, difference, level)
    )
    return min((n for n in (next(enough, None), by_signs) if n is not None), default=None)


def _finds(rounds: int, scale: float, difference: float, level: float) -> bool:
    """Whether the mean of this number of rounds finds the difference in 19 of 20 runs."""
    boundary = _Processes(rounds=rounds, mean=0.0, scale=scale).half_width(level / 2)
    return boundary + normal_quantile(POWER) * scale / sqrt(rounds) <= log1p(difference)


def _measured(
    rounds: Sequence[NDArray[np.float64]],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The median of each round's log ratios, and its standard error: (rounds,) and (rounds,).

    The error is NaN with fewer than `FEWEST_TURNS` turns.

    Raises:
        ValueError: a log ratio is not finite.
    """
    medians, errors = np.full(len(rounds), nan), np.full(len(rounds), nan)
    lengths = np.array([len(ratios) for ratios in rounds], dtype=int)
    for length in np.unique(lengths).tolist():
        places = np.flatnonzero(lengths == length)
        ratios = np.array(
            [rounds[place] for place in places.tolist()], dtype=np.float64
        )  # (places, length)
        if not np.isfinite(ratios).all():
            raise ValueError("a log ratio is not finite; expected those of sweeps with both times")
        medians[places] = np.median(ratios, axis=1)
        if length >= FEWEST_TURNS:
            errors[places] = median_error(ratios)
    return medians, errors


def median_error(ratios: NDArray[np.float64]) -> NDArray[np.float64]:
    """The standard error of the median of each row, from the distances between its turns.

    The scatter is Qn: about a quarter of all distances between two turns are smaller. It stays
    small if half of the turns are disturbed. It is not corrected for small numbers of turns: with
    nine it is 1.15 times too large, as it is often small by accident.
    Source: P. J. Rousseeuw and C. Croux, J. Am. Stat. Assoc. 88, 1993.

    Args:
        ratios: log ratios: (rounds, turns)

    Returns:
        (rounds,)
    """
    turns = ratios.shape[1]
    first, second = np.triu_indices(turns, 1)
    half = turns // 2 + 1
    rank = half * (half - 1) // 2 - 1
    distances = np.abs(ratios[:, first] - ratios[:, second])  # (rounds, pairs of turns)
    scatter: NDArray[np.float64] = 2.2219 * np.partition(distances, rank, axis=1)[:, rank]
    return sqrt(np.pi / 2 / turns) * scatter


def _processes(
    medians: NDArray[np.float64], errors: NDArray[np.float64], spread: ProcessSpread
) -> _Processes | None:
    """The test for the mean; None without a round with turns, or without a known spread."""
    spread_scale, with_turns = _spread_scale(spread), np.isfinite(errors)
    if spread_scale is None or not with_turns.any():
        return None
    chosen = medians[with_turns]
    scale = _scale(medians, errors, spread_scale)
    return _Processes(rounds=len(chosen), mean=float(chosen.mean()), scale=scale)


def _spread_scale(spread: ProcessSpread) -> float | None:
    """The standard deviation of the log ratio of two fresh processes: a cautious, upper limit.

    It is the upper end of a confidence interval for Gaussian noise. None with too few pairs.
    """
    from scipy.special import chdtri  # takes 0.1 s

    ratios = np.asarray(spread.log_ratios, dtype=np.float64)
    ratios = ratios[np.isfinite(ratios)]
    if len(ratios) < FEWEST_PAIRS:
        return None
    measured = max(float(np.sqrt(np.mean(ratios**2))), LEAST_SPREAD)
    return measured * sqrt(len(ratios) / float(chdtri(len(ratios), 1 - _CAUTION)))


def _scale(medians: NDArray[np.float64], errors: NDArray[np.float64], known: float) -> float:
    """The standard deviation of a round's log ratio: the largest of three estimates.

    These are the deviations of processes (`known`), of turns, and between rounds. The calibration
    already contains an error of turns, so the turns' error of this run is not added.
    """
    with_turns = np.isfinite(errors)
    if not with_turns.any():
        return known
    turns = float(np.sqrt(np.mean(errors[with_turns] ** 2)))
    chosen = medians[with_turns]
    between = float(chosen.std(ddof=1)) if len(chosen) > 1 else 0.0
    return max(known, turns, between)


def _interval(medians: NDArray[np.float64], processes: _Processes | None, level: float) -> Interval:
    """The interval of the ratio: what the intervals of both tests have in common.

    If they have nothing in common, it contains both.
    """
    if processes is None:
        signs = median_interval(medians, level, EVERY_ROUND)
        return signs and (exp(signs[0]), exp(signs[1]))
    half = processes.half_width(level / 2)
    by_mean = (processes.mean - half, processes.mean + half)
    by_signs = median_interval(medians, level / 2, EVERY_ROUND) or (-inf, inf)
    low, high = max(by_mean[0], by_signs[0]), min(by_mean[1], by_signs[1])
    if low > high:
        low, high = min(by_mean[0], by_signs[0]), max(by_mean[1], by_signs[1])
    return exp(low), exp(high)


def _chance(medians: NDArray[np.float64], processes: _Processes | None) -> float:
    """The p-value: the smaller p-value of the tests, doubled if there are two tests."""
    # A round without a difference counts as an exception for both directions.
    exceptions = min(np.count_nonzero(medians >= 0), np.count_nonzero(medians <= 0))
    by_signs = EVERY_ROUND.chance(len(medians), int(exceptions))
    return by_signs if processes is None else min(1.0, 2 * min(by_signs, processes.chance()))
