"""The crossover: the size from which a training step takes at least twice its fixed cost.

A sweep measures the step at several sizes. A fixed cost per step and a cost per example are fitted
to the sweep.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations
from math import inf
from statistics import median

import numpy as np
from msgspec import Struct

# Two points always lie on a line; only a third can show that the step is not described by a line.
FEWEST_SIZES = 3
# If the line misses a point by a larger share, it does not describe the step. The cost per example
# then changes within the sweep, for example because a batch outgrows a cache.
LARGEST_MISS = 0.25


class Line(Struct, frozen=True, kw_only=True):
    """A step of size x takes `fixed + per_size * x` seconds; neither is negative.

    Attributes:
        fixed: the seconds that every step takes, independent of its size.
        per_size: the additional seconds per example (or per unit of x).
        largest_miss: the largest distance of a fitted point from the line, as a share of that
            point's time.
    """

    fixed: float
    per_size: float
    largest_miss: float

    @property
    def crossover(self) -> float:
        """The size at which a step takes twice its fixed cost; infinite if `per_size` is 0."""
        return self.fixed / self.per_size if self.per_size else inf


class Crossover(Struct, frozen=True, kw_only=True):
    """The result of a sweep. A line is fitted to each round, and figures are medians over rounds.

    Attributes:
        rounds: the number of rounds with enough sizes; the result of a single round is provisional.
        size: the size at which a step takes twice its fixed cost.
        low, high: the smallest and the largest of these sizes over the rounds.
        smallest, largest: the smallest and the largest size of the sweep.
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
        """Whether a fixed cost and a cost per size describe the step."""
        return self.largest_miss <= LARGEST_MISS


def fit(sizes: Sequence[float], seconds: Sequence[float]) -> Line | None:
    """The line with the least sum of relative deviations from the points.

    Absolute deviations are minimised: with four points or more, one point that other processes
    have slowed down does not move the line. They are relative to the point's time, because a step
    of 2,000 examples scatters by more than the whole time of a step of 32. The best line goes
    through two points, or it goes through one point and is flat or has no fixed cost (W.
    Bloomfield, W. L. Steiger, Least Absolute Deviations, 1983). All these lines are tried.

    Args:
        sizes: mean examples per step; distinct, above 0.
        seconds: the time of a step at each size; above 0.

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
    """The result of a sweep; None if no round has at least three sizes.

    Args:
        rounds: each round's sizes and seconds, see `fit`.
    """
    lines = [line for sizes, seconds in rounds if (line := fit(sizes, seconds)) is not None]
    if not lines:
        return None
    crossovers = [line.crossover for line in lines]
    all_sizes = [size for sizes, _ in rounds for size in sizes]
    return Crossover(
        rounds=len(lines),
        size=median(crossovers),
        low=min(crossovers),
        high=max(crossovers),
        smallest=min(all_sizes),
        largest=max(all_sizes),
        fixed=median(line.fixed for line in lines),
        per_size=median(line.per_size for line in lines),
        largest_miss=median(line.largest_miss for line in lines),
    )
