"""The size from which a step is no longer bound by overhead, found by a sweep over sizes.

A fixed cost of a step and a cost per example are fitted to the sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import inf
from statistics import median

import numpy as np
from msgspec import Struct

# Two points always lie on a line; a third can contradict it.
FEWEST_SIZES = 3
# If a line misses a point by a larger share, it does not describe the step: the cost per example
# changes within the sweep, as where a batch outgrows a cache.
LARGEST_MISS = 0.25


class Line(Struct, frozen=True, kw_only=True):
    """A step of size x takes `fixed + per_size * x` seconds; neither is negative.

    Attributes:
        fixed: seconds of every step, whatever its size.
        per_size: seconds of an example, or of whatever x counts.
        largest_miss: how far it misses the worst of the points that it was fitted to, as a share of
            that point's time.
    """

    fixed: float
    per_size: float
    largest_miss: float

    @property
    def crossover(self) -> float:
        """The size at which a step takes twice its fixed cost; infinite where nothing grows."""
        return self.fixed / self.per_size if self.per_size else inf


class Crossover(Struct, frozen=True, kw_only=True):
    """The result of all rounds of a sweep: medians over rounds, each of which was fitted alone.

    Attributes:
        rounds: how many had enough sizes; with a single one the result is an observation only.
        size: at which a step takes twice its fixed cost; `low` and `high` are the rounds' least and
            greatest.
        largest: the largest size of the sweep; `smallest` the smallest.
        fixed, per_size, largest_miss: see `Line`.
    """

    rounds: int
    size: float
    low: float
    high: float
    smallest: float
    largest: float
    fixed: float
    per_size: float
    largest_miss: float

    @property
    def is_line(self) -> bool:
        """Whether a fixed cost and one per size describe the step at all."""
        return self.largest_miss <= LARGEST_MISS

    @property
    def reached(self) -> bool:
        """Whether the sweep goes as far as `size`; beyond its largest nothing was measured."""
        return self.size <= self.largest


def fit(sizes: Sequence[float], seconds: Sequence[float]) -> Line | None:
    """The line with the least sum of relative misses.

    Absolute deviations are minimised: with four points or more, one point that other processes
    have lengthened does not move the line. They are relative, because a step of 2,000 examples
    scatters by more than a whole step of 32 takes. Such a line goes through two of the points, or
    through one and zero (W. Bloomfield, W. L. Steiger, Least Absolute Deviations, 1983), so all
    lines of that kind are tried.

    Args:
        sizes: mean examples per step, each once; above 0.
        seconds: what a step takes at each; above 0.

    Returns:
        None with fewer than three sizes.
    """
    if len(sizes) < FEWEST_SIZES:
        return None
    points = list(zip(map(float, sizes), map(float, seconds), strict=True))
    slopes = [(t, x, (u - t) / (y - x)) for (x, t), (y, u) in combinations(points, 2)]
    lines = [(t - slope * x, slope) for t, x, slope in slopes]
    lines += [line for x, t in points for line in ((t, 0.0), (0.0, t / x))]
    x, t = np.array(points).T  # (points)
    best, least = (0.0, 0.0), inf
    for fixed, slope in lines:
        misses = float(np.abs((fixed + slope * x) / t - 1).sum())
        if fixed >= 0 and slope >= 0 and misses < least:
            best, least = (fixed, slope), misses
    worst = float(np.abs((best[0] + best[1] * x) / t - 1).max())
    return Line(fixed=best[0], per_size=best[1], largest_miss=worst)


def crossover(rounds: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Crossover | None:
    """The result of a sweep; None where no round has enough sizes.

    Args:
        rounds: each round's sizes and seconds, see `fit`.
    """
    lines = [line for sizes, seconds in rounds if (line := fit(sizes, seconds)) is not None]
    if not lines:
        return None
    found = [line.crossover for line in lines]
    swept = [size for sizes, _ in rounds for size in sizes]
    return Crossover(
        rounds=len(lines),
        size=median(found),
        low=min(found),
        high=max(found),
        smallest=min(swept),
        largest=max(swept),
        fixed=median(line.fixed for line in lines),
        per_size=median(line.per_size for line in lines),
        largest_miss=median(line.largest_miss for line in lines),
    )
