"""The interfaces of a format: a `Writer` makes the files of a model, a `Reader` predicts by them.

A format has no `train_epoch`, so it is not a `backends.contract.Backend`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from backends.contract import Images, Weights
from specs.model import Workload

Probabilities = npt.NDArray[np.float32]  # (n, classes), each row has the sum 1


class Writer(Protocol):
    """Makes the files of a model that ends in a softmax and takes images channel first."""

    def __call__(self, workload: Workload, weights: Weights) -> tuple[bytes, ...]:
        """The contents of the files, in the order of `Format.endings`.

        Args:
            workload: the model.
            weights: all of its weights, with the names and layouts of `specs.shapes.LayerShape`.

        Raises:
            Unsupported: the format or its reader cannot have this model; the text says why.
        """


class Reader(Protocol):
    """Predicts with a model that it reads from files."""

    def __init__(self, files: Sequence[Path], threads: int) -> None:
        """Read the files of a model, in the order of `Format.endings`.

        Args:
            files: the model's.
            threads: the number of CPU threads for arithmetic.
        """

    def predict(self, images: Images) -> Probabilities:
        """The probabilities of the classes."""
