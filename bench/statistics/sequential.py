"""Sequential tests: a result may be checked after every round, and a run may stop at any time.

A look is a check of the rounds so far. The test uses only signs: which of two backends was the
slower one of a round. If both take the same time, each is the slower one with the same probability,
for any distribution of the noise. So the number of rounds in which the first was slower is a random
walk. This module computes the exact probability that this walk ever crosses a boundary which is
checked after every round. A run may therefore stop when its result is precise, when its time is up
or when the user interrupts it, and it may be resumed: the probability of an error stays below the
level (a confidence sequence; H. Robbins, Ann. Math. Stat. 41, 1970, 1397-1409). The price is small:
9 of 40 rounds may disagree; with a single look, 11 may.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from math import log1p

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# A real difference must be found in 19 of 20 runs.
POWER = 0.95
# A calibration is only a sample of the noise. Nine of ten calibrations ask for enough rounds.
_CAUTION = 0.1
_ROUNDING = 1e-9  # probabilities that differ by less than this share are taken as equal


class Looks(Struct, frozen=True, kw_only=True):
    """The looks that are allowed: how often the rounds so far may be checked.

    A `level` is the probability of any error in all looks together.

    Attributes:
        often: True: a look is allowed after every round. False: only one look is allowed, at a
            number of rounds that was fixed in advance.
        last: the largest number of rounds that counts. The larger it is, the stricter each look;
            200 fresh processes of every backend take longer than users wait.
    """

    often: bool = True
    last: int = 200

    def may_look(self, rounds: int) -> bool:
        """Whether a look at this number of rounds is allowed."""
        return 1 <= rounds <= self.last

    def level_at(self, rounds: int, level: float) -> float:
        """The level of a single look, for a level of all looks; 0 if no look is allowed.

        Raises:
            ValueError: `level` is not between 0 and 1.
        """
        if not 0 < level < 1:
            raise ValueError(f"level {level}; expected more than 0 and less than 1")
        if not self.may_look(rounds):
            return 0.0
        return _level_of_each(self.last, level) if self.often else level

    def next_look(self, rounds: int, level: float) -> int | None:
        """The next number of rounds above `rounds` that allows a conclusion; None if none does."""
        later = (
            n for n in range(rounds + 1, self.last + 1) if self.exceptions(n, level) is not None
        )
        return next(later, None)

    def exceptions(self, rounds: int, level: float) -> int | None:
        """The most rounds in which the faster backend may be slower; None with too few rounds.

        The interval of the median leaves out this number of values at each end.
        """
        most = _most_exceptions(rounds, self.level_at(rounds, level))
        return None if most < 0 else most

    def chance(self, rounds: int, exceptions: int) -> float:
        """The p-value: the probability of a split at least this uneven in any look by chance.

        It is at most `level` if `self.exceptions(rounds, level)` is at least `exceptions`.

        Args:
            rounds: the number of rounds.
            exceptions: the number of rounds in which the usually faster backend was slower.
        """
        if not self.may_look(rounds):
            return 1.0
        single = min(1.0, 2 * float(_at_most(rounds)[exceptions]))
        return _chance_in_all(self.last, single) if self.often else single


EVERY_ROUND = Looks()
ONCE = Looks(often=False)


def rounds_needed(scatter: Sequence[float], difference: float, level: float) -> int | None:
    """The number of rounds that find a difference in 19 of 20 runs (`POWER`).

    A check is allowed after every round, and every larger number also finds the difference. A
    difference is found if few rounds point the other way. A round points the other way if the noise
    exceeds the difference. The probability of that is the upper end of a confidence interval, which
    is computed from the measured scatter.

    Args:
        scatter: logarithms of the time ratios of identical backends, one per round; NaN is left
            out.
        difference: the difference as a share: 0.05 if one backend takes 5 % longer.
        level: the level of the verdict, of all looks together.

    Returns:
        The number, or None if `EVERY_ROUND.last` rounds are too few.

    Raises:
        ValueError: `difference` is not positive, or `level` is not between 0 and 1.
    """
    if not difference > 0:
        raise ValueError(f"difference {difference}; expected more than 0, e.g. 0.05 for 5 %")
    sizes = _sizes(scatter)
    within = int(np.count_nonzero(sizes <= log1p(difference) * (1 + _ROUNDING)))
    wrong = _chance_of_exception(within, len(sizes))
    last = EVERY_ROUND.last
    most_too_few = max(
        (n for n in range(1, last + 1) if _power(n, wrong, level) < POWER), default=0
    )
    return most_too_few + 1 if most_too_few < last else None


def smallest_visible_difference(
    scatter: Sequence[float], rounds: int, level: float
) -> float | None:
    """The smallest difference (a share) that this number of rounds finds in 19 of 20 runs.

    For arguments and errors see `rounds_needed`.

    Returns:
        The difference, or None if the noise hides every difference up to the largest measured
        ratio.
    """
    sizes = _sizes(scatter)
    for within, size in enumerate(sizes.tolist(), start=1):
        if _power(rounds, _chance_of_exception(within, len(sizes)), level) >= POWER:
            return float(np.expm1(size))
    return None


def share_interval(hits: int, trials: int, level: float = 0.05) -> tuple[float, float]:
    """The exact confidence interval (low, high) of a share, such as a rate of false alarms.

    Source: Clopper and Pearson, Biometrika 26, 1934.

    Raises:
        ValueError: there are more hits than trials, or no trials.
    """
    from scipy.special import betaincinv  # takes 0.1 s

    if not 0 <= hits <= trials or trials < 1:
        raise ValueError(f"{hits} of {trials} trials; expected 0 to {trials} of at least one")
    low = 0.0 if hits == 0 else float(betaincinv(hits, trials - hits + 1, level / 2))
    high = 1.0 if hits == trials else float(betaincinv(hits + 1, trials - hits, 1 - level / 2))
    return low, high


def _power(rounds: int, wrong: float, level: float) -> float:
    """The probability that this number of rounds finds the difference.

    `wrong` is the probability that a round points the wrong way.
    """
    allowed = EVERY_ROUND.exceptions(rounds, level)
    return 0.0 if allowed is None else float(_at_most(rounds, wrong)[allowed])


def _chance_of_exception(within: int, measured: int) -> float:
    """The probability that noise reverses a round.

    `within` of `measured` ratios are smaller than the difference. Noise helps each backend equally
    often, so half of the larger ratios reverse a round.
    """
    return 0.5 if measured == 0 else (1 - share_interval(within, measured, 2 * _CAUTION)[0]) / 2


def _sizes(scatter: Sequence[float]) -> NDArray[np.float64]:
    """The absolute values, sorted, without NaN.

    The two backends of a calibration are identical, so the signs carry no information.
    """
    sizes = np.abs(np.asarray(scatter, dtype=np.float64))  # (rounds)
    return np.sort(sizes[np.isfinite(sizes)])


# Cached: a report of 126 pairs calls it 25,000 times, for at most 200 numbers of rounds.
@lru_cache(maxsize=1000)
def _at_most(rounds: int, chance: float = 0.5) -> NDArray[np.float64]:
    """The probabilities of at most 0, 1, ... `rounds` heads in `rounds` throws: (rounds + 1)."""
    from scipy.special import bdtr  # takes 0.1 s

    probabilities: NDArray[np.float64] = bdtr(np.arange(rounds + 1.0), rounds, chance)
    return probabilities


def _most_exceptions(rounds: int, level: float) -> int:
    """The largest k such that at most k heads or at most k tails of a fair coin are improbable.

    "Improbable" means a probability of at most `level`. The result is -1 if there is no such k.
    """
    return int(np.searchsorted(2 * _at_most(rounds), level * (1 + _ROUNDING), side="right")) - 1


@cache  # a call takes milliseconds, and every comparison of a report repeats it
def _chance_in_all(last: int, look_level: float) -> float:
    """The probability that a fair walk crosses the boundary after any of `last` rounds.

    The boundary is that of a single look at the level `look_level`.
    """
    inside, crossed = np.ones(1), 0.0  # inside: for 0, 1, ... heads without a crossing
    for rounds in range(1, last + 1):
        inside = (np.append(inside, 0.0) + np.append(0.0, inside)) / 2
        most = _most_exceptions(rounds, look_level)
        if most >= 0:
            crossed += float(inside[: most + 1].sum() + inside[rounds - most :].sum())
            inside[: most + 1] = inside[rounds - most :] = 0.0
    return min(crossed, 1.0)


@cache
def _level_of_each(last: int, level: float) -> float:
    """The largest level of a single look such that all `last` looks together keep `level`."""
    # Bisection: `low` is always allowed, and `high` only with a single look.
    low, high = level / last, level
    while high / low > 1 + _ROUNDING:
        trial = (low * high) ** 0.5
        low, high = (trial, high) if _chance_in_all(last, trial) <= level else (low, trial)
    return low
