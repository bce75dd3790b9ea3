"""How long contestants take, which of two is the faster, and how sure that is.

A round holds one fresh process of every contestant, run next to each other: what the machine does
in those minutes affects both, so times are only ever divided within a round. A process counts once,
with the median of its steady epochs, as its epochs share their conditions (where its memory lies,
what else is running). Several rounds are described by the median of their ratios, with an interval
between two of the ratios themselves, such as the third smallest and the third largest of 20: it
needs no symmetry and no normal noise, and a round that is wrong by a factor of five moves it no
more than one that is a little wrong.

Other intervals were tried on noise as recorded here (`tests/statistics/test_timing.py`). A
bootstrap interval of 95 % misses in 6 to 31 % of cases. Student's interval hardly ever misses, but
where rounds are sometimes disturbed it finds a difference of 5 % in none of ten runs, even with 80
rounds. Wilcoxon's signed ranks need symmetry; they find less than this interval there, and more in
Gaussian noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import inf, nan
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
# Of 100 intervals 5 miss the true value.
LEVEL = 0.05
# Of 100 comparisons of identical contestants one ends with a verdict, at most; of 20 tables one
# holds such a verdict.
VERDICT_LEVEL = 0.01
TABLE_LEVEL = 0.05
# A difference that nobody would change the framework for.
MARGIN = 0.02


class Comparison(Struct, frozen=True, kw_only=True):
    """Our time divided by theirs, over rounds: below 1 we are faster.

    Attributes:
        rounds: how many have both.
        ratio: the median of the rounds' ratios; not a number without a round.
        low, high: its interval at `LEVEL`; None with too few rounds.
        sure_low, sure_high: the one at `VERDICT_LEVEL`, from which the outcome is read; None with
            too few rounds.
        outcome: "same": that interval lies within the margin to both sides; "faster", "slower": not
            "same", and it lies on one side of 1; "undecided": none of these, and always with too
            few rounds.
        chance: how probable rounds so unevenly split are if nothing differs, all looks counted.
    """

    rounds: int
    ratio: float
    low: float | None
    high: float | None
    sure_low: float | None
    sure_high: float | None
    outcome: Outcome
    chance: float


class OwnTime(Struct, frozen=True, kw_only=True):
    """The time of one contestant's steady epoch.

    Attributes:
        processes: how many there are.
        seconds: the median over them; not a number without one.
        low, high: its interval, in seconds; None with too few processes.
    """

    processes: int
    seconds: float
    low: float | None
    high: float | None


def process_seconds(epochs: Sequence[float]) -> float:
    """The median of one process's steady epochs, in seconds.

    It is not a number without an epoch, or if one is not a positive, finite time.
    """
    whole = len(epochs) > 0 and all(0 < seconds < inf for seconds in epochs)
    return float(median(epochs)) if whole else nan


def log_ratios(ours: Seconds, theirs: Seconds) -> NDArray[np.float64]:
    """The logarithm of our time divided by theirs, within each round that has both.

    Args:
        ours: our process of every round, in the order of rounds: see `process_seconds`; not a
            number if it failed.
        theirs: the same of the other.

    Returns:
        (rounds with both)

    Raises:
        ValueError: not the same number of rounds.
    """
    if len(ours) != len(theirs):
        raise ValueError(
            f"{len(ours)} rounds of ours and {len(theirs)} of theirs; expected as many"
        )
    times = np.array([ours, theirs], dtype=np.float64)  # (2, rounds)
    both = np.all((times > 0) & (times < inf), axis=0)
    logs: NDArray[np.float64] = np.log(times[0, both]) - np.log(times[1, both])
    return logs


def median_interval(
    values: Sequence[float] | NDArray[np.float64], level: float, looks: Looks
) -> Interval:
    """An interval of the median of independent values, between two of them.

    Its source is W. R. Thompson, Ann. Math. Stat. 7, 1936.

    Args:
        values: numbers, in the order of rounds; beyond `looks.last` they do not count.
        level: 0.05 for 95 %: the chance that it misses in any look.
        looks: how often it is looked at.

    Returns:
        (low, high), or None where so few values allow none at this level.
    """
    found = np.sort(np.asarray(values, dtype=np.float64)[: looks.last])
    left_out = looks.exceptions(len(found), level)
    return None if left_out is None else (float(found[left_out]), float(found[-1 - left_out]))


def compare(
    ours: Seconds,
    theirs: Seconds,
    looks: Looks = EVERY_ROUND,
    margin: float = MARGIN,
) -> Comparison:
    """Compare two contestants of the same rounds.

    Args:
        ours: our process of every round, see `log_ratios`.
        theirs: the same of the other.
        looks: `EVERY_ROUND` whenever rounds may be added or seen before the last
            (`--until-precise`, a run that is resumed); `ONCE` if their number was fixed beforehand.
        margin: the smallest difference that matters, as a share.

    Raises:
        ValueError: not the same number of rounds, or a margin that is not positive.
    """
    if not margin > 0:
        raise ValueError(
            f"margin {margin}; expected more than 0: two times are never equal to the last digit"
        )
    logs = log_ratios(ours, theirs)[: looks.last]
    wide, sure = (_ratios(median_interval(logs, level, looks)) for level in (LEVEL, VERDICT_LEVEL))
    # A round without a difference speaks for neither.
    exceptions = min(np.count_nonzero(logs >= 0), np.count_nonzero(logs <= 0))
    return Comparison(
        rounds=len(logs),
        ratio=float(np.exp(np.median(logs))) if len(logs) else nan,
        low=wide and wide[0],
        high=wide and wide[1],
        sure_low=sure and sure[0],
        sure_high=sure and sure[1],
        outcome=verdict(sure, margin),
        chance=looks.chance(len(logs), int(exceptions)),
    )


def verdict(interval: Interval, margin: float = MARGIN) -> Outcome:
    """The outcome that an interval of a ratio shows, see `Comparison.outcome`.

    The margin reaches from 1 / (1 + margin) to 1 + margin.
    """
    if interval is None:
        return "undecided"
    low, high = interval
    if 1 / (1 + margin) <= low and high <= 1 + margin:
        return "same"
    return "faster" if high < 1 else "slower" if low > 1 else "undecided"


def correct_for_many(
    comparisons: Sequence[Comparison], level: float = TABLE_LEVEL
) -> list[Comparison]:
    """The same comparisons, with "faster" and "slower" only where they hold among all of a table.

    See `many.holm`. It has to be given every comparison that a reader may pick: all pairs, if
    anybody may look for the fastest. It holds whenever a run is stopped, as each chance does.
    "same" stays as it is: "all are the same" is wrong no more often than one of them.
    """
    corrected = holm([comparison.chance for comparison in comparisons])
    return [
        replace(
            comparison,
            chance=chance,
            outcome="undecided"
            if comparison.outcome in {"faster", "slower"} and chance > level
            else comparison.outcome,
        )
        for comparison, chance in zip(comparisons, corrected, strict=True)
    ]


def fastest(times: Mapping[str, Seconds]) -> str | None:
    """The backend that no other one beats; None without two that have a round in common.

    It is the one whose largest ratio to another one (see `Comparison.ratio`) is the smallest.

    Args:
        times: of every backend, see `log_ratios`: as many rounds of each.
    """
    largest = {}
    for name, ours in times.items():
        others = (log_ratios(ours, theirs) for other, theirs in times.items() if other != name)
        medians = [float(np.median(logs)) for logs in others if len(logs)]
        if medians:
            largest[name] = max(medians)
    return min(largest, key=lambda name: largest[name], default=None)


def precision(low: float | None, high: float | None) -> float:
    """How far a ratio may be off to either side, as a share: 0.02 for 0.98 to 1.02.

    It is infinite without an interval.
    """
    return inf if low is None or high is None else float(np.sqrt(high / low)) - 1


def own_time(processes: Seconds, level: float = LEVEL, looks: Looks = ONCE) -> OwnTime:
    """The time of one contestant's steady epoch on one machine, over its processes.

    `processes` are times by `process_seconds`; those that failed are left out. Machines are never
    mixed, and epochs count through the median of their process, whose scatter includes theirs. The
    interval assumes that processes are independent: where slowdowns last for several jobs,
    intervals of 95 % miss in 5 to 14 % of cases (those of a bootstrap over processes and then
    epochs in 16 to 23 %). Ratios within rounds do not have that weakness, and verdicts use them.
    """
    times = [float(seconds) for seconds in processes if 0 < seconds < inf]
    low, high = median_interval(times, level, looks) or (None, None)
    return OwnTime(
        processes=len(times), seconds=float(np.median(times)) if times else nan, low=low, high=high
    )


def _ratios(interval: Interval) -> Interval:
    return None if interval is None else (float(np.exp(interval[0])), float(np.exp(interval[1])))
