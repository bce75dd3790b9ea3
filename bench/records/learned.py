"""Reads what the model of a job has learned, as its worker has kept it.

The files lie beside the records, in the folder `learned` of a run, one per job of the first seed
and round. Pictures for a course show them.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bench.records.stored import LeftOut

FOLDER = "learned"
_MOST_BYTES = 5_000_000  # of a file that is read; those that are written have less


class Learned(NamedTuple):
    """What one job has learned.

    Attributes:
        classes: (n,) the predicted class of every test image, after the last epoch.
        filters: (..., filters) the kernel of the first layer with weights: (inputs, units) or
            (height, width, channels, filters); of shape (0,) if it is too large to be kept.
    """

    classes: NDArray[np.unsignedinteger]
    filters: NDArray[np.float16]


def path_of(folder: Path, key: str) -> Path:
    """The file of a job.

    Args:
        folder: the run's.
        key: of the job's record.
    """
    return folder / FOLDER / f"{key}.npz"


def read_learned(folder: Path, key: str) -> Learned | LeftOut | None:
    """What a job has learned, or why it cannot be read; None if there is no file.

    Args:
        folder: the run's.
        key: of the job's record.
    """
    path = path_of(folder, key)
    try:
        if path.stat().st_size > _MOST_BYTES:
            return LeftOut(path, f"larger than {_MOST_BYTES / 1e6:g} MB")
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            learned = Learned(arrays["classes"], arrays["filters"])
    except FileNotFoundError:
        return None
    except OSError as error:
        return LeftOut(path, f"cannot be read ({error.strerror or error})")
    except Exception:  # noqa: BLE001 - NumPy and zipfile raise many kinds for a damaged file
        return LeftOut(path, "damaged")
    kinds = (learned.classes.dtype.kind, learned.classes.ndim, learned.filters.dtype.kind)
    return learned if kinds == ("u", 1, "f") else LeftOut(path, "damaged")
