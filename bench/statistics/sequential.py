"""When rounds may be looked at, what a look may conclude, and how many rounds a machine needs.

Only signs are used. If two contestants take the same time, either is the slower one of a round with
the same chance, whatever the distribution of the noise. So the number of rounds in which the first
was slower is a random walk. The chance that such a walk ever crosses a boundary is computed here,
not simulated, for a boundary that is checked after every round. A run may therefore stop when its
result is precise, when time is up or when somebody loses patience, and may be resumed: it errs no
more often than was promised (a confidence sequence; H. Robbins, Ann. Math. Stat. 41, 1970,
1397-1409). The price is small: of 40 rounds 9 instead of 11 may disagree.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache, lru_cache
from math import log1p

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

# A difference that is there has to be found in 19 of 20 runs.
POWER = 0.95
# Nine of ten calibrations ask for enough rounds: each has seen only a sample of the noise.
_CAUTION = 0.1
_ROUNDING = 1e-9  # chances that differ by less than this share are the same


class Looks(Struct, frozen=True, kw_only=True):
    """When the rounds so far may be looked at.

    A `level` is the chance of any error in all looks together.

    Attributes:
        often: after every round, whatever the rounds before have shown. Else once: the number of
            rounds was fixed beforehand, and nobody acts on what is seen earlier.
        last: the most rounds that count; with more looks each is a little stricter. Nobody waits
            for more than 200 fresh processes of every contestant.
    """

    often: bool = True
    last: int = 200

    def may_look(self, rounds: int) -> bool:
        """Whether so many rounds may be looked at."""
        return 1 <= rounds <= self.last

    def level_at(self, rounds: int, level: float) -> float:
        """The level of the look at so many rounds, for a level of all looks; 0 without a look.

        Raises:
            ValueError: a level that is none.
        """
        _require(level=level)
        if not self.may_look(rounds):
            return 0.0
        return _level_of_each(self.last, level) if self.often else level

    def next_look(self, rounds: int, level: float) -> int | None:
        """The next number of rounds, after so many, that allows a conclusion; None if none does."""
        later = (
            n for n in range(rounds + 1, self.last + 1) if self.exceptions(n, level) is not None
        )
        return next(later, None)

    def exceptions(self, rounds: int, level: float) -> int | None:
        """The most rounds in which the faster contestant may be slower; None with too few rounds.

        An interval of the median leaves out as many values at each end.
        """
        allowed = self.level_at(rounds, level)
        found = _most_exceptions(rounds, allowed)
        return None if found < 0 else found

    def chance(self, rounds: int, exceptions: int) -> float:
        """The chance of a split so uneven in any look, if the contestants do not differ.

        It is at most `level` where `exceptions` allows the split at that level.

        Args:
            rounds: how many there are.
            exceptions: in how many of them the one that was mostly faster was not.
        """
        if not self.may_look(rounds):
            return 1.0
        single = min(1.0, 2 * float(_at_most(rounds)[exceptions]))
        return _chance_in_all(self.last, single) if self.often else single


EVERY_ROUND = Looks()
ONCE = Looks(often=False)


def rounds_needed(
    scatter: Sequence[float],
    difference: float,
    level: float,
    looks: Looks = EVERY_ROUND,
    power: float = POWER,
) -> int | None:
    """The number of rounds from which on a difference is found with at least this power.

    None if `looks.last` rounds are too few. The number is computed, not simulated: whether a
    difference is found depends only on how many rounds point the other way, and each does so with
    the chance that noise exceeds the difference. That chance is taken from the measured scatter, at
    the upper end of what the number of measurements leaves open.

    Args:
        scatter: logarithms of ratios of identical contestants, one per round; what is not a number
            is left out.
        difference: as a share: 0.05 if one takes 5 % longer.
        level: of the verdict, of all looks together.
        looks: when it is looked at.
        power: the share of runs that have to find it.

    Raises:
        ValueError: a difference that is not positive, or a level or power that is none.
    """
    _require(level=level, power=power)
    if not difference > 0:
        raise ValueError(f"difference {difference}; expected more than 0, as 0.05 for 5 %")
    sizes = _sizes(scatter)
    within = int(np.count_nonzero(sizes <= log1p(difference) * (1 + _ROUNDING)))
    wrong = _chance_of_exception(within, len(sizes))
    enough = [_power(n, wrong, level, looks) >= power for n in range(1, looks.last + 1)]
    too_few = max((n for n, found in enumerate(enough, start=1) if not found), default=0)
    return too_few + 1 if too_few < looks.last else None


def smallest_visible_difference(
    scatter: Sequence[float],
    rounds: int,
    level: float,
    looks: Looks = EVERY_ROUND,
    power: float = POWER,
) -> float | None:
    """The smallest difference (a share) that so many rounds find with at least this power.

    None if the noise hides all differences up to the largest measured ratio; larger ones are never
    promised. Arguments and errors are those of `rounds_needed`.
    """
    _require(level=level, power=power)
    sizes = _sizes(scatter)
    for within, size in enumerate(sizes.tolist(), start=1):
        if _power(rounds, _chance_of_exception(within, len(sizes)), level, looks) >= power:
            return float(np.expm1(size))
    return None


def share_interval(hits: int, trials: int, level: float = 0.05) -> tuple[float, float]:
    """The exact interval (low, high) of a share, such as a rate of false alarms.

    Its source is Clopper and Pearson, Biometrika 26, 1934.

    Raises:
        ValueError: more hits than trials, or no trial.
    """
    from scipy.special import betaincinv  # takes 0.1 s

    if not 0 <= hits <= trials or trials < 1:
        raise ValueError(f"{hits} of {trials}; expected a part of at least one trial")
    low = 0.0 if hits == 0 else float(betaincinv(hits, trials - hits + 1, level / 2))
    high = 1.0 if hits == trials else float(betaincinv(hits + 1, trials - hits, 1 - level / 2))
    return low, high


def _power(rounds: int, wrong: float, level: float, looks: Looks) -> float:
    """The chance that so many rounds decide rightly, if each points the wrong way with `wrong`."""
    allowed = looks.exceptions(rounds, level)
    return 0.0 if allowed is None else float(_at_most(rounds, wrong)[allowed])


def _chance_of_exception(within: int, measured: int) -> float:
    """The chance that noise reverses a round, if `within` measured ratios are below the difference.

    Noise helps either contestant equally often, so half of the larger ratios reverse a round. (The
    two contestants are the same, so the sign of a measured ratio says nothing, and its size is used
    for both.)
    """
    return 0.5 if measured == 0 else (1 - share_interval(within, measured, 2 * _CAUTION)[0]) / 2


def _sizes(scatter: Sequence[float]) -> NDArray[np.float64]:
    found = np.abs(np.asarray(scatter, dtype=np.float64))  # (rounds)
    return np.sort(found[np.isfinite(found)])


# A report of 126 pairs asks 25,000 times, of at most 200 numbers of rounds.
@lru_cache(maxsize=1000)
def _at_most(rounds: int, chance: float = 0.5) -> NDArray[np.float64]:
    """The chances of at most 0, 1, ... `rounds` heads in so many throws: (rounds + 1)."""
    from scipy.special import bdtr  # takes 0.1 s

    found: NDArray[np.float64] = bdtr(np.arange(rounds + 1.0), rounds, chance)
    return found


def _most_exceptions(rounds: int, level: float) -> int:
    """The most heads of a fair coin that are unlikely to be so few; -1: no number is.

    Unlikely is a chance of at most the level, for so few heads or so few tails.
    """
    return int(np.searchsorted(2 * _at_most(rounds), level * (1 + _ROUNDING), side="right")) - 1


@cache  # a few milliseconds, for few different arguments, in every comparison of a report
def _chance_in_all(last: int, each: float) -> float:
    """The chance that a fair walk crosses the boundary after any of `last` rounds.

    The boundary is that of a look at the level `each`.
    """
    inside, strayed = np.ones(1), 0.0  # the chances of 0, 1, ... heads without having crossed it
    for rounds in range(1, last + 1):
        inside = (np.append(inside, 0.0) + np.append(0.0, inside)) / 2
        most = _most_exceptions(rounds, each)
        if most >= 0:
            strayed += float(inside[: most + 1].sum() + inside[rounds - most :].sum())
            inside[: most + 1] = inside[rounds - most :] = 0.0
    return min(strayed, 1.0)


@cache
def _level_of_each(last: int, level: float) -> float:
    """The largest level of a single look with which all `last` looks together keep to `level`."""
    # The first is certainly allowed, the second certainly not, or only just.
    low, high = level / last, level
    while high / low > 1 + _ROUNDING:
        middle = (low * high) ** 0.5
        low, high = (middle, high) if _chance_in_all(last, middle) <= level else (low, middle)
    return low


def _require(**shares: float) -> None:
    for name, share in shares.items():
        if not 0 < share < 1:
            raise ValueError(f"{name} {share}; expected more than 0 and less than 1")
