"""Times of backends: which of two backends is faster, and the confidence interval of the ratio.

In a round, one fresh process of every backend runs, one after the other. Other load of the machine
in these minutes affects all of them, so times are only divided within a round. A process counts
once, with the median of its steady epochs, as its epochs share their conditions (memory layout,
other load). The figure for several rounds is the median of their ratios. The ends of its interval
are two of the ratios, for example the third smallest and the third largest of 20. This interval
does not assume symmetric or normal noise, and no outlier makes it wider.

Other intervals were tried on noise recorded on such machines (`tests/statistics/test_timing.py`). A
bootstrap interval of 95 % misses in 6 to 31 % of cases. Student's interval hardly ever misses, but
if some rounds are disturbed, it finds a difference of 5 % in none of ten runs, even with 80 rounds.
Wilcoxon's signed-rank test assumes symmetry; on disturbed rounds it finds less than this interval,
and on Gaussian noise more.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, isfinite, nan
from statistics import median
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from bench.statistics.many import holm
from bench.statistics.sequential import EVERY_ROUND, ONCE, Looks

Outcome = Literal["faster", "slower", "same", "undecided"]
Interval = tuple[float, float] | None
Seconds = Sequence[float] | NDArray[np.float64]
# 5 of 100 intervals miss the true value.
LEVEL = 0.05
# At most 1 of 100 comparisons of identical backends names a faster one. With many comparisons, at
# most 1 of 20 tables holds a false verdict.
VERDICT_LEVEL = 0.01
TABLE_LEVEL = 0.05
# Nobody changes the framework for a smaller difference.
MARGIN = 0.02


class Comparison(Struct, frozen=True, kw_only=True):
    """The first backend's time divided by the second's, over rounds; below 1 the first is faster.

    Attributes:
        rounds: the number of rounds that have a time of both.
        ratio: the median of the rounds' ratios; NaN without a round.
        low, high: the interval of the ratio at `LEVEL`; None with too few rounds.
        sure_low, sure_high: the interval at `VERDICT_LEVEL`, which decides the outcome; None with
            too few rounds.
        outcome: "same": the sure interval lies within the margin on both sides of 1; "faster",
            "slower": it lies on one side of 1, and the outcome is not "same"; "undecided": all
            other cases.
        chance: the p-value: the probability that rounds are split at least this unevenly in any
            look, if nothing differs.
    """

    rounds: int
    ratio: float
    low: float | None
    high: float | None
    sure_low: float | None
    sure_high: float | None
    outcome: Outcome
    chance: float


def process_seconds(epochs: Sequence[float]) -> float:
    """The median of one process's steady epochs, in seconds.

    NaN without an epoch, or if a time is not positive and finite.
    """
    valid = len(epochs) > 0 and all(0 < seconds < inf for seconds in epochs)
    return float(median(epochs)) if valid else nan


def log_ratios(first: Seconds, second: Seconds) -> NDArray[np.float64]:
    """The logarithm of the first backend's time divided by the second's, round by round.

    Args:
        first: the first backend's time of every round, in the order of rounds, see
            `process_seconds`; NaN if the process failed.
        second: the same for the second backend.

    Returns:
        One value per round that has a time of both: (rounds with both)

    Raises:
        ValueError: the numbers of rounds differ.
    """
    if len(first) != len(second):
        raise ValueError(
            f"{len(first)} rounds of the first backend and {len(second)} of the second;"
            " expected the same number"
        )
    times = np.array([first, second], dtype=np.float64)  # (2, rounds)
    complete = np.all((times > 0) & (times < inf), axis=0)
    logs: NDArray[np.float64] = np.log(times[0, complete]) - np.log(times[1, complete])
    return logs


def median_interval(
    values: Sequence[float] | NDArray[np.float64], level: float, looks: Looks
) -> Interval:
    """A confidence interval of the median of independent values; its ends are two of the values.

    Source: W. R. Thompson, Ann. Math. Stat. 7, 1936.

    Args:
        values: the values in the order of rounds; only the first `looks.last` count.
        level: the probability that the interval misses the median in any look: 0.05 for 95 %.
        looks: the looks that are allowed.

    Returns:
        (low, high), or None if there are too few values for this level.
    """
    ordered = np.sort(np.asarray(values, dtype=np.float64)[: looks.last])
    left_out = looks.exceptions(len(ordered), level)
    return None if left_out is None else (float(ordered[left_out]), float(ordered[-1 - left_out]))


def compare(
    first: Seconds,
    second: Seconds,
    looks: Looks = EVERY_ROUND,
    margin: float = MARGIN,
) -> Comparison:
    """Compare the times of two backends in the same rounds.

    Args:
        first: the first backend's time of every round, see `log_ratios`.
        second: the same for the second backend.
        looks: `EVERY_ROUND` if rounds may be added, or seen before the last round
            (`--until-precise`, a run that is resumed); `ONCE` if their number was fixed in advance.
        margin: the smallest difference that matters, as a share.

    Raises:
        ValueError: the numbers of rounds differ, or `margin` is not positive.
    """
    if not margin > 0:
        raise ValueError(
            f"margin {margin}; expected more than 0: two times are never equal to the last digit"
        )
    logs = log_ratios(first, second)[: looks.last]
    usual, sure = (_ratios(median_interval(logs, level, looks)) for level in (LEVEL, VERDICT_LEVEL))
    # A round without a difference counts as an exception for both directions.
    exceptions = min(np.count_nonzero(logs >= 0), np.count_nonzero(logs <= 0))
    return comparison_of(logs, usual, sure, margin, looks.chance(len(logs), int(exceptions)))


def comparison_of(
    logs: NDArray[np.float64], usual: Interval, sure: Interval, margin: float, chance: float
) -> Comparison:
    """The comparison of rounds with these log ratios; other arguments: see `Comparison`."""
    return Comparison(
        rounds=len(logs),
        ratio=float(np.exp(np.median(logs))) if len(logs) else nan,
        low=usual and usual[0],
        high=usual and usual[1],
        sure_low=sure and sure[0],
        sure_high=sure and sure[1],
        outcome=verdict(sure, margin),
        chance=chance,
    )


def verdict(interval: Interval, margin: float = MARGIN) -> Outcome:
    """The outcome for an interval of a ratio, see `Comparison.outcome`.

    The outcome is "same" if the interval lies between 1 / (1 + margin) and 1 + margin.
    """
    if interval is None:
        return "undecided"
    low, high = interval
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return "same"
    return "faster" if high < 1 else "slower" if low > 1 else "undecided"


def correct_for_many(comparisons: Sequence[Comparison]) -> list[Comparison]:
    """The same comparisons after Holm's correction: some verdicts become "undecided".

    `comparisons` must hold every comparison that a reader may pick: all pairs, if readers look for
    the fastest. See `many.holm`. Only "faster" and "slower" are corrected: the statement "all are
    the same" is wrong no more often than a single "same". A run may be stopped at any time, as each
    p-value allows that.
    """
    corrected = holm([comparison.chance for comparison in comparisons])
    return [
        replace(
            comparison,
            chance=chance,
            outcome="undecided"
            if comparison.outcome in {"faster", "slower"} and chance > TABLE_LEVEL
            else comparison.outcome,
        )
        for comparison, chance in zip(comparisons, corrected, strict=True)
    ]


def fastest(ratios: Mapping[tuple[str, str], float]) -> str | None:
    """The backend whose largest ratio to another one is the smallest; None without a ratio.

    Args:
        ratios: two backends -> the first one's time divided by the second's, see
            `Comparison.ratio`, for both orders of each pair; NaN if they have no round in common.
    """
    largest: dict[str, float] = {}
    for (name, _), ratio in ratios.items():
        if isfinite(ratio):
            largest[name] = max(ratio, largest.get(name, 0.0))
    return min(largest, key=lambda name: largest[name], default=None)


def precision(low: float | None, high: float | None) -> float:
    """The half-width of a ratio's interval, as a share: 0.02 for 0.98 to 1.02.

    It is infinite without an interval.
    """
    return inf if low is None or high is None else float(np.sqrt(high / low)) - 1


def epoch_seconds_interval(processes: Seconds) -> Interval:
    """The interval of a backend's median steady epoch, in seconds; None with too few processes.

    It assumes that processes are independent. If slowdowns last for several jobs, intervals of 95 %
    miss in 5 to 14 % of cases (a bootstrap over processes and epochs misses in 16 to 23 %).
    Verdicts use ratios within rounds, which do not have this weakness.

    Args:
        processes: the time of each process, see `process_seconds`; NaN (a failed process) is left
            out.
    """
    return median_interval([time for time in processes if 0 < time < inf], LEVEL, ONCE)


def _ratios(interval: Interval) -> Interval:
    return None if interval is None else (float(np.exp(interval[0])), float(np.exp(interval[1])))
