"""The input of the topics: the results of a run, the facts, and the images."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.data.cache import materialise
from bench.data.dataset import DataError, Places
from bench.overview.facts import AllFacts
from bench.overview.results import Results
from bench.records.job import Record


class Images(NamedTuple):
    """The images (n, height, width, channels) uint8 and labels (n,) of one part of a data set."""

    images: NDArray[np.uint8]
    labels: NDArray[np.integer[Any]]


class Material(NamedTuple):
    """The input for the slides.

    Attributes:
        results: the results of a run.
        facts: the facts of the frameworks.
        images_of: a function from a record to the test images of its data set, or to the reason
            why there are none.
    """

    results: Results
    facts: AllFacts
    images_of: Callable[[Record], Images | str]


def images_in(places: Places) -> Callable[[Record], Images | str]:
    """A function that finds test images in these folders, or downloads them."""

    def images_of(record: Record) -> Images | str:
        try:
            data = materialise(record.data.name, record.job.workload.input, places)
        except DataError as error:
            return str(error).partition("\n")[0]
        if data.checksum != record.data.checksum:
            return f"{record.data.name} is not the data set that the run used"
        images, labels = (
            np.load(f"{data.folder}/test_{part}.npy") for part in ("images", "labels")
        )
        return Images(images, labels)

    return images_of
