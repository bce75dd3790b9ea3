"""Files that are written whole or not at all, so that no reader ever sees half of one."""

from __future__ import annotations

import os
from pathlib import Path

from specs.errors import UserError


class RunError(UserError):
    """A run's folder that cannot be read or written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name first, then rename it; its folder is made.

    Raises:
        RunError: the folder cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
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
            expected="a writable results directory",
            hint="name another with --results",
        ) from error
