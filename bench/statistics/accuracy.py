"""Accuracy over several seeds: its interval, and whether a difference in it is small or real.

A difference is shown to be small ("equal"), shown to be real ("different"), or neither
("undecided"). Equality is never concluded from a test that failed to find a difference: it has to
be shown, by two one-sided tests (D. J. Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987, 657-680).
The seed varies, and with it weights, batches and dropout masks; the test images stay the same.
Differences are assumed to scatter about one mean: if a backend fails in one seed of ten, no test of
five seeds finds it.

The standard error of a mean follows from the scatter over the seeds; Student's t allows for how
little a few seeds tell about that scatter. The scatter is too small only where accuracies, which
are counts of images, agree by chance: two seeds with the same difference would have no error at
all. So it is taken to be no less than what the images that differ must give: `least_deviation`.
The binomial error of two independent runs is not used for this, although `bench.statistics.gate`
uses it: runs of one seed start from the same weights and see the same batches and images. Softmax
then agrees to the last image where independent runs would differ by 37 of 10,000; with the binomial
error such a good agreement would be called undecided.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite, nan, sqrt
from typing import Literal

import numpy as np
from msgspec import Struct
from msgspec.structs import replace
from numpy.typing import NDArray

from bench.statistics.distributions import student_below, student_quantile
from bench.statistics.many import holm

Outcome = Literal["equal", "different", "undecided"]
# Of 100 differences as large as the margin at most 5 are called equal: the usual level since
# Schuirmann.
LEVEL = 0.05
# 0.5 percentage points: half of the step from the course's best dense network to its CNN (98.2 to
# 99.2 %), so that equal backends teach the same lesson; and 2.5 standard errors of a difference of
# two single runs at 98 %, so that five seeds can show it.
MARGIN = 0.005
_FEWEST_SEEDS = 2  # one has no scatter


class Verdict(Struct, frozen=True, kw_only=True):
    """What is said of a difference in accuracy.

    Attributes:
        outcome: "equal": shown to be smaller than the margin, whether it is zero or not;
            "different": not "equal", and more than chance; "undecided": neither, and always with a
            single seed.
        seeds: how many have a difference.
        difference: their mean, as a share (0.001 is 0.1 points); not a number without a seed.
        standard_error: of that mean; None with fewer than two seeds, as all that follows.
        low, high: the interval that lies within the margin exactly where the outcome is "equal": of
            90 % at level 0.05.
        p_equal: how probable a mean so far within the margin is, if the true one lies on it.
        p_different: how probable a mean so far from zero is, if the true one is zero.
    """

    outcome: Outcome
    seeds: int
    difference: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    p_equal: float | None = None
    p_different: float | None = None


def interval(
    values: Sequence[float], images: int, level: float = LEVEL
) -> tuple[float, float] | None:
    """Student's confidence interval of the mean over seeds.

    Args:
        values: accuracies (0..1), one per seed; what is not a number is left out.
        images: how many test images each is of; the seeds' scatter is taken to be at least one of
            them.
        level: 0.05 for an interval of 95 %.

    Returns:
        (low, high), or None with fewer than two seeds.

    Raises:
        ValueError: no image, or a level that is none.
    """
    _require(images=images, level=level)
    numbers = _numbers(values)
    if len(numbers) < _FEWEST_SEEDS:
        return None
    mean, error = _mean_and_error(numbers, least=1 / images)
    room = student_quantile(1 - level / 2, len(numbers) - 1) * error
    return mean - room, mean + room


def binomial_error(accuracy: float, images: int) -> float:
    """The standard error of one accuracy (0..1) that follows from the number of test images alone.

    It is sqrt(p (1 - p) / n): 0.001 for an accuracy of 0.99 of 10,000 images. It is never below one
    image, 1 / n, which is its value for the accuracies 0 and 1.

    Raises:
        ValueError: no image.
    """
    _require(images=images)
    return sqrt(max(accuracy * (1 - accuracy), 1 / images) / images)


def equivalence(
    differences: Sequence[float], images: int, margin: float = MARGIN, level: float = LEVEL
) -> Verdict:
    """Whether the mean of paired differences is within a margin of zero, by two one-sided t-tests.

    Args:
        differences: in accuracy (-1..1), one per seed of both; what is not a number (a failed seed)
            is left out.
        images: how many test images an accuracy is of.
        margin: the smallest difference that matters, as a share.
        level: of each test; "different" takes the two-sided t-test at the same.

    Raises:
        ValueError: no image, a margin that is not positive, or a level that is none.
    """
    _require(images=images, level=level, margin=margin)
    numbers = _numbers(differences)
    seeds = len(numbers)
    if seeds < _FEWEST_SEEDS:
        return Verdict(
            outcome="undecided", seeds=seeds, difference=float(numbers[0]) if seeds else nan
        )
    mean, error = _mean_and_error(numbers, least=least_deviation(numbers.tolist(), images))
    room = student_quantile(1 - level, seeds - 1) * error
    p_equal = student_below((abs(mean) - margin) / error, seeds - 1)
    p_different = 2 * student_below(-abs(mean) / error, seeds - 1)
    outcome: Outcome = (
        "equal" if p_equal <= level else "different" if p_different <= level else "undecided"
    )
    return Verdict(
        outcome=outcome,
        seeds=seeds,
        difference=mean,
        standard_error=error,
        low=mean - room,
        high=mean + room,
        p_equal=p_equal,
        p_different=p_different,
    )


def correct_for_many(verdicts: Sequence[Verdict], level: float = LEVEL) -> list[Verdict]:
    """The same verdicts, with "different" only where it holds among all of them.

    See `many.holm`. Without it, five of a hundred
    differences that are truly zero would be called different. "Equal" stays as it is: each such
    verdict is wrong in at most `level` of the cases, and so is "all are equal", as each of them
    must have passed (R. L. Berger, Technometrics 24, 1982: intersection-union). Holm's correction
    needs no independence; verdicts have none, as each backend is part of the median that others are
    compared with.

    Raises:
        ValueError: a level that is none.
    """
    _require(level=level)
    tested = [verdict.p_different for verdict in verdicts if verdict.p_different is not None]
    corrected = iter(holm(tested))
    return [
        verdict if verdict.p_different is None else _corrected(verdict, next(corrected), level)
        for verdict in verdicts
    ]


def _corrected(verdict: Verdict, chance: float, level: float) -> Verdict:
    lost = verdict.outcome == "different" and chance > level
    return replace(verdict, p_different=chance, outcome="undecided" if lost else verdict.outcome)


def least_deviation(differences: Sequence[float], images: int) -> float:
    """The least standard deviation that differences in accuracy can have, given their images.

    Two runs whose accuracies differ by k of n images answer at least k of them differently. Each of
    those could as well have been right in the other run (Q. McNemar, Psychometrika 12, 1947). So
    the count scatters by at least sqrt(k), and the difference by sqrt(k) / n. k is the mean over
    the seeds, and at least one image.
    """
    mean = float(np.mean(np.abs(differences)))
    return sqrt(max(mean, 1 / images) / images)


def _numbers(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array([value for value in values if isfinite(value)], dtype=np.float64)  # (seeds)


def _mean_and_error(values: NDArray[np.float64], least: float) -> tuple[float, float]:
    """The mean and its standard error; the standard deviation is taken to be at least `least`."""
    return float(np.mean(values)), max(float(np.std(values, ddof=1)), least) / sqrt(len(values))


def _require(*, images: int = 1, level: float = LEVEL, margin: float = MARGIN) -> None:
    if images < 1:
        raise ValueError(f"{images} test images; expected at least one")
    if not 0 < 2 * level < 1:  # from a half on, "equal" would need no evidence
        raise ValueError(f"level {level}; expected more than 0 and less than 0.5")
    if not margin > 0:
        raise ValueError(
            f"margin {margin}; expected more than 0: two accuracies are never equal to the last"
            " digit"
        )
