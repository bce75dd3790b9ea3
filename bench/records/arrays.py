"""Reads arrays from a file that somebody else may have written."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import numpy as np
from numpy.typing import NDArray

from specs.files import open_regular


def read_arrays(path: Path, most_bytes: int) -> dict[str, NDArray[Any]]:
    """All arrays in a `.npz` file, by name.

    Args:
        path: the file.
        most_bytes: the size limit of the file, and of its arrays together.

    Raises:
        OSError: the file cannot be read, is not a regular file, or is too large.
        ValueError: the file is damaged.
    """
    with open_regular(path, most_bytes) as file:
        try:
            with ZipFile(file) as content:
                unpacked = sum(part.file_size for part in content.infolist())
            if unpacked <= most_bytes:  # a small file may hold gigabytes of zeros
                file.seek(0)
                with np.load(file, allow_pickle=False) as arrays:
                    return dict(arrays)
        except Exception as error:
            # NumPy and zipfile raise many types of errors for a damaged file.
            raise ValueError(f"{path}: is damaged") from error
    raise OSError(errno.EFBIG, f"larger than {most_bytes / 1e6:g} MB")
