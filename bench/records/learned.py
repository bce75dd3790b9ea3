"""Reads what the model of a job has learned, as its worker has kept it.

The files lie beside the records, in the folder `learned` of a run, one per job of the first seed
and round. Pictures for a course show them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.records.arrays import read_arrays
from bench.records.stored import LeftOut

FOLDER = "learned"
_MOST_BYTES = 5_000_000  # the limit for reading; workers write less


class Learned(NamedTuple):
    """What one job has learned.

    Attributes:
        classes: (n,) the predicted class of every test image, after the last epoch.
        filters: (..., filters) the kernel of the first layer with weights, at most 64 filters:
            (inputs, units) or (height, width, channels, filters); of shape (0,) if it is too large
            to be kept.
    """

    classes: NDArray[np.unsignedinteger]
    filters: NDArray[np.float16]


def path_of(folder: Path, key: str) -> Path:
    """The file with what a job has learned.

    Args:
        folder: the run's folder.
        key: the key of the job's record.
    """
    return folder / FOLDER / f"{key}.npz"


def read_learned(folder: Path, key: str) -> Learned | LeftOut | None:
    """What a job has learned, or why it cannot be read; None if there is no file.

    Args:
        folder: the run's folder.
        key: the key of the job's record.
    """
    path = path_of(folder, key)
    try:
        arrays = read_arrays(path, _MOST_BYTES)
        learned = Learned(arrays["classes"], arrays["filters"])
    except FileNotFoundError:
        return None
    except OSError as error:
        return LeftOut(path, f"cannot be read ({error.strerror or error})")
    except (ValueError, KeyError):
        return LeftOut(path, "damaged")
    kinds = (learned.classes.dtype.kind, learned.classes.ndim, learned.filters.dtype.kind)
    is_whole = kinds == ("u", 1, "f") and learned.filters.ndim > 0
    if not is_whole or not np.isfinite(learned.filters).all():
        return LeftOut(path, "damaged")
    return learned
