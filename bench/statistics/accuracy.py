"""Accuracy over several seeds: its interval, and whether a difference in it is small or real.

A difference is "equal" (shown to be small), "different" (shown to be real) or "undecided". A test
that finds no difference does not show equality. Two one-sided tests show it (D. J.
Schuirmann, J. Pharmacokinet. Biopharm. 15, 1987, 657-680). The seed varies, and with it weights,
batches and dropout masks; the test images stay the same. The tests assume that differences scatter
about one mean: if a backend fails in one seed of ten, five seeds may not show it.

The standard error of a mean follows from the scatter over the seeds. Student's t takes into account
that a few seeds measure this scatter badly. The measured scatter can be too small: accuracies are
counts of images, and two seeds may have the same difference by chance; the error would then be 0.
So the scatter has a lower bound, which follows from the number of images that differ:
`least_deviation`. `bench.statistics.gate` uses the binomial error of two independent runs instead.
That error is too large here, because runs of one seed start from the same weights and see the same
batches and images: softmax agrees to the last image where independent runs would differ by 37 of
10,000. With the binomial error this agreement would be called undecided.
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
# The level of each one-sided test, and of the two-sided t-test for "different": at most 5 of 100
# differences as large as the margin are called equal. This level is usual since Schuirmann.
LEVEL = 0.05
# 0.5 percentage points. It is half of the step from the course's best dense network to its CNN
# (98.2 to 99.2 %), so "equal" backends show the same step. It is 2.5 standard errors of the
# difference of two single runs at 98 %, so five seeds can show it.
MARGIN = 0.005
_FEWEST_SEEDS = 2  # a single seed has no scatter


class Verdict(Struct, frozen=True, kw_only=True):
    """The verdict on a difference in accuracy.

    With fewer than two seeds the outcome is "undecided", and all attributes from `standard_error`
    on are None.

    Attributes:
        outcome: "equal": the difference is shown to be smaller than the margin; "different": it is
            larger than chance allows, and is not shown to be "equal"; "undecided": all other cases.
        seeds: the number of seeds that have a difference.
        difference: the mean difference, as a share (0.001 is 0.1 points); NaN without a seed.
        standard_error: the standard error of that mean.
        low, high: the confidence interval of the mean, of 90 %. It lies within the
            margin exactly if the outcome is "equal".
        p_equal: the probability of a mean at least this far inside the margin, if the true mean
            lies on the margin.
        p_different: the probability of a mean at least this far from zero, if the true mean is 0.
    """

    outcome: Outcome
    seeds: int
    difference: float
    standard_error: float | None = None
    low: float | None = None
    high: float | None = None
    p_equal: float | None = None
    p_different: float | None = None


def interval(values: Sequence[float], images: int) -> tuple[float, float] | None:
    """Student's confidence interval of 95 % of the mean over seeds.

    Args:
        values: accuracies (0..1), one per seed; NaN is left out.
        images: the number of test images. The scatter of the seeds is taken to be at least one
            image.

    Returns:
        (low, high), or None with fewer than two seeds.

    Raises:
        ValueError: `images` is below 1.
    """
    _check_images(images)
    numbers = _numbers(values)
    if len(numbers) < _FEWEST_SEEDS:
        return None
    mean, error = _mean_and_error(numbers, least=1 / images)
    half_width = student_quantile(1 - LEVEL / 2, len(numbers) - 1) * error
    return mean - half_width, mean + half_width


def binomial_error(accuracy: float, images: int) -> float:
    """The standard error of one accuracy (0..1) that follows from the number of test images alone.

    It is sqrt(p (1 - p) / n), for example 0.001 for an accuracy of 0.99 on 10,000 images. It is at
    least one image, 1 / n; the accuracies 0 and 1 have this error.

    Raises:
        ValueError: `images` is below 1.
    """
    _check_images(images)
    return sqrt(max(accuracy * (1 - accuracy), 1 / images) / images)


def equivalence(differences: Sequence[float], images: int, margin: float = MARGIN) -> Verdict:
    """Whether the mean of paired differences is within a margin of zero, by two one-sided t-tests.

    Args:
        differences: the differences in accuracy (-1..1), one per seed that both have; NaN (a failed
            seed) is left out.
        images: the number of test images.
        margin: the smallest difference that matters, as a share.

    Raises:
        ValueError: `images` is below 1, or `margin` is not positive.
    """
    _check_images(images)
    if not margin > 0:
        raise ValueError(
            f"margin {margin}; expected more than 0: two accuracies are never equal to the last"
            " digit"
        )
    numbers = _numbers(differences)
    seeds = len(numbers)
    if seeds < _FEWEST_SEEDS:
        return Verdict(
            outcome="undecided", seeds=seeds, difference=float(numbers[0]) if seeds else nan
        )
    mean, error = _mean_and_error(numbers, least=least_deviation(numbers.tolist(), images))
    half_width = student_quantile(1 - LEVEL, seeds - 1) * error
    p_equal = student_below((abs(mean) - margin) / error, seeds - 1)
    p_different = 2 * student_below(-abs(mean) / error, seeds - 1)
    outcome: Outcome = (
        "equal" if p_equal <= LEVEL else "different" if p_different <= LEVEL else "undecided"
    )
    return Verdict(
        outcome=outcome,
        seeds=seeds,
        difference=mean,
        standard_error=error,
        low=mean - half_width,
        high=mean + half_width,
        p_equal=p_equal,
        p_different=p_different,
    )


def correct_for_many(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The same verdicts after Holm's correction: some "different" become "undecided".

    Without the correction (see `many.holm`), five of a hundred differences that are truly zero
    would be called different. "Equal" needs no correction: each "equal" is wrong in at most `LEVEL`
    of the cases. The statement "all are equal" is wrong no more often, because every single test
    must pass (R. L. Berger, Technometrics 24, 1982: intersection-union). The verdicts depend on
    each other: each backend is part of the median for the others. Holm's correction allows that.
    """
    tested = [verdict.p_different for verdict in verdicts if verdict.p_different is not None]
    corrected = iter(holm(tested))
    return [
        verdict if verdict.p_different is None else _corrected(verdict, next(corrected))
        for verdict in verdicts
    ]


def _corrected(verdict: Verdict, chance: float) -> Verdict:
    too_probable = verdict.outcome == "different" and chance > LEVEL
    outcome: Outcome = "undecided" if too_probable else verdict.outcome
    return replace(verdict, p_different=chance, outcome=outcome)


def least_deviation(differences: Sequence[float], images: int) -> float:
    """The least standard deviation that differences in accuracy can have on n test images.

    If the accuracies of two runs differ by k images, the runs answer at least k images differently.
    For each of these images, chance decides which run is right (Q. McNemar, Psychometrika 12,
    1947). So the count scatters by at least sqrt(k), and the difference by sqrt(k) / n. Here k is
    the mean over the seeds, and at least 1.
    """
    mean = float(np.mean(np.abs(differences)))
    return sqrt(max(mean, 1 / images) / images)


def _numbers(values: Sequence[float]) -> NDArray[np.float64]:
    return np.array([value for value in values if isfinite(value)], dtype=np.float64)  # (seeds)


def _mean_and_error(values: NDArray[np.float64], least: float) -> tuple[float, float]:
    """The mean and its standard error, computed with a standard deviation of at least `least`."""
    return float(np.mean(values)), max(float(np.std(values, ddof=1)), least) / sqrt(len(values))


def _check_images(images: int) -> None:
    if images < 1:
        raise ValueError(f"{images} test images; expected at least one")
