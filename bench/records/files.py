"""Writes files whole or not at all, so that no reader sees half of one."""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from specs.errors import UserError
from specs.files import hold, remove_leftovers

PROJECT = Path(__file__).resolve().parents[2]  # the folder of our packages: clone or installation


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
    """Write a whole file unless it exists; returns whether it was written.

    No lock is needed: the file gets its name by a hard link, which the file server refuses if the
    name exists. So a file that another machine has just written is never replaced, even if the
    cache of a network file system does not show it yet.

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
        # Another process removed the temporary file before it was locked.
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
        with suppress(OSError):  # a full disk leaves a partial file
            temporary.unlink()
        raise


def inside(folder: Path, name: str) -> Path:
    """A subfolder of a run's folder, to write to. A link is refused, as it may lead anywhere.

    Raises:
        RunError: the subfolder is a link.
    """
    path = folder / name
    if path.is_symlink():
        raise RunError(
            f"{path}: is a link, and may lead anywhere",
            expected="a folder, or nothing",
            hint="remove the link; nothing was written",
        )
    return path
