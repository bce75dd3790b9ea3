"""Decides what a title may claim about the accuracies of two models.

With several seeds a claim needs a paired test over the seeds. With one seed only the number of test
images is known, so the bound is stricter, and the title says that it is about one seed.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import sqrt

from bench.overview.results import Results
from bench.report.frame.places import Row
from bench.statistics.accuracy import binomial_error, equivalence

ONE_SEED = ", one seed"
# The least difference of two accuracies of one seed, in standard errors. Chance exceeds it in 0.3 %
# of cases, so the few claims of a deck are rarely false.
_SURE = 3.0
# Two trainings are compared only if these are equal: else another cause may explain the difference.
_SAME = ("backend", "data_checksum", "epochs", "batch_size")


class Compared:
    """The comparison of two workloads in one backend.

    Args:
        results: the results of a run.
        rows: the rows of both in the summary.
    """

    def __init__(self, results: Results, rows: Sequence[Row]) -> None:
        self._rows = rows
        self._seeds = [results.seeds(row["workload"], row["backend"]) for row in rows]
        self._common = sorted(self._seeds[0].keys() & self._seeds[1].keys())

    @property
    def is_fair(self) -> bool:
        """Whether backend, data, epochs, batch size and seeds are the same."""
        same = all(len({row[column] for row in self._rows}) == 1 for column in _SAME)
        return same and self._seeds[0].keys() == self._seeds[1].keys() and bool(self._common)

    @property
    def is_sure(self) -> bool:
        """Whether the comparison is fair, and the accuracies differ by more than chance."""
        if not self.is_fair:
            return False
        images = int(self._rows[0]["test_examples"])
        first, second = ([seeds[s] for s in self._common] for seeds in self._seeds)
        if len(self._common) > 1:
            differences = [a - b for a, b in zip(first, second, strict=True)]
            return equivalence(differences, images).outcome == "different"
        return differs(first[0], second[0], images, images)

    @property
    def said(self) -> str:
        """The addition to a title if there is only one seed."""
        return ONE_SEED if len(self._common) == 1 else ""


def differs(accuracy: float, other: float, images: int, other_images: int) -> bool:
    """Whether two accuracies (0..1) of one seed differ by more than the images allow."""
    errors = binomial_error(accuracy, images), binomial_error(other, other_images)
    return abs(accuracy - other) > _SURE * sqrt(errors[0] ** 2 + errors[1] ** 2)
