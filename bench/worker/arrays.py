"""Writes a file of arrays whole or not at all, and computes the checksum of arrays."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

_DIGITS = 16


def checksum(arrays: Mapping[str, NDArray[Any]]) -> str:
    """The checksum of arrays, with their names and their order."""
    digest = hashlib.sha256()
    for name, value in arrays.items():
        digest.update(name.encode())
        digest.update(value.tobytes())
    return digest.hexdigest()[:_DIGITS]


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a `.npz` file; creates its folder if needed.

    Raises:
        OSError: the file cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    name = ""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".new", delete=False) as new:
            name = new.name
            np.savez(new, **arrays)  # type: ignore[arg-type]  # the stub takes an array for `allow_pickle`
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except OSError:  # also when the file is closed: a full disk may show only then
        if name:
            Path(name).unlink(missing_ok=True)
        raise
