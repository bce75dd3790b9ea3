"""Writes files whole or not at all, so that no reader sees half of one."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import suppress
from pathlib import Path

from specs.errors import UserError

PROJECT = Path(__file__).resolve().parents[2]  # of our packages: a clone, or an installation


_TEMPORARY = re.compile(r"\..*\.[0-9a-f]{32}\.tmp")
_OLD_SECONDS = 3600.0  # no file takes as long to write
_SWEPT: set[Path] = set()  # the folders in which this process has looked for leftovers


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
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        _remove_leftovers(path.parent, temporary.stat().st_mtime)
        temporary.replace(path)
    except OSError as error:
        with suppress(OSError):  # a full disk leaves a part of it
            temporary.unlink()
        raise RunError(
            f"{path.parent}: cannot be written: {error.strerror}",
            expected="a folder that can be written",
            hint="name another with --results or --output",
        ) from error


def inside(folder: Path, name: str) -> Path:
    """A folder in a run's, to write to; nothing is written through a link that a run came with.

    Raises:
        RunError: it is a link.
    """
    path = folder / name
    if path.is_symlink():
        raise RunError(
            f"{path}: is a link, and may lead anywhere",
            expected="a folder, or nothing",
            hint="remove the link; nothing was written",
        )
    return path


def _remove_leftovers(folder: Path, now: float) -> None:
    """Remove what a process that was killed has left in a folder; once per process.

    Args:
        folder: the folder.
        now: the time by the folder's own file system.
    """
    if folder in _SWEPT:
        return
    _SWEPT.add(folder)
    with suppress(OSError):
        for entry in list(os.scandir(folder)):
            is_old = now - entry.stat(follow_symlinks=False).st_mtime > _OLD_SECONDS
            if is_old and _TEMPORARY.fullmatch(entry.name):
                Path(entry).unlink(missing_ok=True)
