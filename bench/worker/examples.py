"""The examples of a data set, as a worker reads them from the arrays on disk."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt


def read_part(folder: Path, part: str) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    """Images (n, height, width, channels) in 0..1 and labels (n,) of "train" or "test", from a materialised folder."""
    pixels = np.load(folder / f"{part}_images.npy")
    labels = np.load(folder / f"{part}_labels.npy")
    return np.divide(pixels, np.float32(255), dtype=np.float32), labels.astype(np.int64)
