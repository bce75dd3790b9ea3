"""Writes files whole or not at all, so that no reader sees half of one."""

from __future__ import annotations

import os
import uuid
from pathlib import Path

from specs.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]  # of our packages: a clone, or an installation


class RunError(UserError):
    """A folder or a file of a run cannot be read or written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name first, then rename it; its folder is made if needed.

    Raises:
        RunError: the folder cannot be written.
    """
    # A name that nobody else uses: several machines may write to the same folder.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        raise RunError(
            f"{path.parent}: cannot be written: {error.strerror}",
            expected="a folder that can be written",
            hint="name another with --results or --output",
        ) from error
