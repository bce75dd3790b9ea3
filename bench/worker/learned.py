"""Keeps what a model has learned for pictures: its predictions, and the first layer's weights."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from backends.contract import Logits, Weights
from bench.worker.arrays import write_arrays

MOST_FILTERS = 64  # filters or units whose weights are kept, the first ones
_MOST_BYTES = 2_000_000  # of these weights; those of 64 units on 224x224x3 values are not kept


def keep_learned(path: Path, logits: Logits, weights: Weights) -> None:
    """Write what a job has learned, see `bench.records.learned.Learned`.

    Args:
        path: the file, whose name ends in ".npz".
        logits: of the test set, after the last epoch.
        weights: after the last epoch, in the order of the layers.

    Raises:
        OSError: the file cannot be written.
    """
    kernels = (value for name, value in weights.items() if name.endswith(".kernel"))
    filters = next(kernels, np.zeros(0))[..., :MOST_FILTERS].astype(np.float16)
    if filters.nbytes > _MOST_BYTES or not np.isfinite(filters).all():
        filters = np.zeros(0, np.float16)
    classes = logits.argmax(axis=1)
    smallest = np.min_scalar_type(logits.shape[1])  # a byte for up to 255 classes
    write_arrays(path, {"classes": classes.astype(smallest), "filters": filters})
