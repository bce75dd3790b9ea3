"""Writes arrays into a file whole or not at all, so that no reader sees half of it."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def write_arrays(file: Path, arrays: Mapping[str, NDArray[Any]]) -> None:
    """Write a file `.npz`; its folder is made if needed.

    Raises:
        OSError: it cannot be written.
    """
    file.parent.mkdir(parents=True, exist_ok=True)
    name = ""
    try:
        with tempfile.NamedTemporaryFile(dir=file.parent, suffix=".new", delete=False) as new:
            name = new.name
            np.savez(new, **arrays)  # type: ignore[arg-type]  # its stub takes one for `allow_pickle`
        Path(name).chmod(0o644)
        Path(name).replace(file)
    except OSError:  # also at its close: a full disk may be seen only then
        if name:
            Path(name).unlink(missing_ok=True)
        raise
