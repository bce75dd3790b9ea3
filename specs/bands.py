"""The loss and accuracy that the packaged workloads are known to have, epoch by epoch.

`bands.json` is made of kept runs over several seeds by `python -m tests.support.bands`.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path

import msgspec
from msgspec import Struct

from specs.errors import SpecError
from specs.loading import find_workload
from specs.model import Workload

FILE = Path(__file__).parent / "bands.json"
Range = tuple[float, float]


class Band(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The lowest and highest values of a workload on a data set.

    Attributes:
        workload, dataset: their names.
        train_examples: the number of training examples of the data set.
        losses: of the training loss in each epoch.
        accuracies: of the test accuracy after each epoch (0..1).
        runs: how many trainings they were seen in.
    """

    workload: str
    dataset: str
    train_examples: int
    losses: tuple[Range, ...]
    accuracies: tuple[Range, ...]
    runs: int

    def loss(self, epoch: int) -> Range:
        """The range of the loss in an epoch, counted from 1; after the last known one: up to it."""
        known = self.losses[min(epoch, len(self.losses)) - 1]
        return known if epoch <= len(self.losses) else (0.0, known[1])

    def accuracy(self, epoch: int) -> Range:
        """The range of the accuracy after an epoch; after the last known one: from it upwards."""
        known = self.accuracies[min(epoch, len(self.accuracies)) - 1]
        return known if epoch <= len(self.accuracies) else (known[0], 1.0)


def find_band(workload: Workload, dataset: str, train_examples: int) -> Band | None:
    """The band of a packaged workload; None if there is none, or the workload was changed.

    Args:
        workload: without title, references and target accuracy.
        dataset: the name of the data set.
        train_examples: its number of training examples.
    """
    band = _bands().get((workload.name, dataset, train_examples))
    return band if band is not None and _equals_packaged(workload) else None


@cache
def _bands() -> dict[tuple[str, str, int], Band]:
    bands = msgspec.json.decode(FILE.read_bytes(), type=list[Band])
    return {(band.workload, band.dataset, band.train_examples): band for band in bands}


@cache
def _equals_packaged(workload: Workload) -> bool:
    try:
        packaged = find_workload(workload.name)
    except SpecError:
        return False
    return (packaged.input, packaged.layers, packaged.loss, packaged.optimizer) == (
        workload.input,
        workload.layers,
        workload.loss,
        workload.optimizer,
    ) and msgspec.structs.replace(packaged.recipe, target_accuracy=None) == msgspec.structs.replace(
        workload.recipe, target_accuracy=None
    )
