"""Reads files that somebody else may have written, and removes what nobody writes any more."""

from __future__ import annotations

import errno
import os
import shutil
import stat
from contextlib import suppress
from io import BufferedReader
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

_OLD_SECONDS = 3600.0  # no file takes as long to write
# A pipe would wait for its writer. Windows has no such flags, and has its own for bytes.
_FLAGS = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)


def open_regular(path: Path, most_bytes: int) -> BufferedReader:
    """Open a file to read bytes; a link to a regular file is one, too.

    Args:
        path: the file.
        most_bytes: a larger file is not opened.

    Raises:
        OSError: it cannot be read, is no regular file (a device or a pipe may have no end), or is
            larger. Its `strerror` says which.
    """
    _check(path.stat(), most_bytes)  # before it is opened: that alone may act on a device
    file = os.fdopen(os.open(path, _FLAGS), "rb")
    try:
        _check(os.fstat(file.fileno()), most_bytes)  # it may have been replaced
    except OSError:
        file.close()
        raise
    return file


def read_regular(path: Path, most_bytes: int) -> bytes:
    """The content of a regular file; for arguments and errors see `open_regular`."""
    with open_regular(path, most_bytes) as file:
        content = file.read(most_bytes + 1)
    if len(content) > most_bytes:  # it grows, or its system does not tell its size
        raise _too_large(most_bytes)
    return content


def is_own(found: os.stat_result) -> bool:
    """Whether a file belongs to this user, and no other one may write it."""
    if not hasattr(os, "geteuid"):  # Windows
        return True
    return found.st_uid == os.geteuid() and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def hold(descriptor: int) -> None:
    """Lock an open file until it is closed, if there are locks; see `remove_leftovers`."""
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


def remove_leftovers(folder: Path, pattern: str, *, are_held: bool = False) -> None:
    """Remove what processes that were killed have left in a folder.

    Args:
        folder: it has just been written to, so its time is the present, also on a file server.
        pattern: of the names of temporary files and folders. Those of an hour ago are removed.
        are_held: whether their writers `hold` them. Then others that nobody holds are removed, too.
    """
    with suppress(OSError):
        now = folder.stat().st_mtime
        for path in folder.glob(pattern):
            with suppress(OSError):  # that of another user
                is_old = now - path.lstat().st_mtime > _OLD_SECONDS
                if is_old or (are_held and _is_free(path)):
                    remove(path)


def _is_free(path: Path) -> bool:
    """Whether nobody holds a file; False on a file system without locks."""
    if fcntl is None:
        return False
    descriptor = os.open(path, _FLAGS | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    else:
        return True
    finally:
        os.close(descriptor)


def remove(path: Path) -> None:
    """Remove a file, a link or a folder, whatever has this name.

    Raises:
        OSError: it cannot be removed.
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _check(found: os.stat_result, most_bytes: int) -> None:
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "not a regular file")
    if found.st_size > most_bytes:
        raise _too_large(most_bytes)


def _too_large(most_bytes: int) -> OSError:
    return OSError(errno.EFBIG, f"larger than {most_bytes / 1e6:g} MB")
