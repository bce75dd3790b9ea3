"""Reads the examples of a data set in a worker, from the arrays on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt


def read_part(folder: Path, part: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """The images (n, height, width, channels), in 0..1, and the labels (n,) of one part.

    Args:
        folder: the folder of a data set, as `bench.data.cache.materialise` writes it.
        part: "train" or "test".
    """
    pixels = np.load(folder / f"{part}_images.npy")
    labels = np.load(folder / f"{part}_labels.npy")
    return np.divide(pixels, np.float32(255), dtype=np.float32), labels.astype(np.int64)
