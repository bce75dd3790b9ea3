"""Writes files whole or not at all, so that no reader sees half of one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from specs.errors import UserError
from specs.files import hold, remove_leftovers

PROJECT = Path(__file__).resolve().parents[2]  # of our packages: a clone, or an installation


_SWEPT: set[Path] = set()  # the folders from which leftovers of killed writers were removed


class RunError(UserError):
    """A folder or a file of a run cannot be read or written."""


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file under another name first, then rename it; its folder is made if needed.

    Raises:
        RunError: the folder cannot be written.
    """
    _write(path, content, _rename)


def write_new(path: Path, content: bytes) -> bool:
    """Write a file likewise, unless it exists; returns whether it was written.

    No lock is needed, and a file that another machine has just written is never replaced, also on
    a network file system whose cache does not show it yet: the server makes the link or refuses.

    Raises:
        RunError: the folder cannot be written.
    """
    return not path.exists() and _write(path, content, _link)


def _rename(temporary: Path, path: Path) -> bool:
    temporary.replace(path)
    return True


def _link(temporary: Path, path: Path) -> bool:
    try:
        path.hardlink_to(temporary)
    except FileExistsError:
        return False
    except OSError:  # a file system without links
        return _rename(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return True


def _write(path: Path, content: bytes, place: Callable[[Path, Path], bool]) -> bool:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _try_to_write(path, content, place)
        # Another process has removed the temporary file in a moment in which nobody held it.
        except FileNotFoundError:
            return _try_to_write(path, content, place)
    except OSError as error:
        raise RunError(
            f"{path.parent}: cannot be written: {error.strerror}",
            expected="a folder that can be written",
            hint="name another with --results or --output",
        ) from error


def _try_to_write(path: Path, content: bytes, place: Callable[[Path, Path], bool]) -> bool:
    # A name that nobody else uses: several machines may write to the same folder.
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
    try:
        with temporary.open("xb") as file:
            hold(file.fileno())
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
            if path.parent not in _SWEPT:  # once per process
                _SWEPT.add(path.parent)
                remove_leftovers(path.parent, f".*.{'[0-9a-f]' * 32}.tmp", are_held=True)
        return place(temporary, path)
    except OSError:
        with suppress(OSError):  # a full disk leaves a part of it
            temporary.unlink()
        raise


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
