"""Removes from the cache what is not what its name says; a cache may be shared with other users."""

from __future__ import annotations

import logging
import shutil
import uuid
from contextlib import suppress
from pathlib import Path

_LOG = logging.getLogger("bench")
_OLD_SECONDS = 24 * 3600  # no writing takes as long


def remove(path: Path) -> None:
    """Remove a file, a link, a pipe or a folder, whatever has this name; and say so.

    What cannot be removed, as it holds files of another user, is renamed.

    Raises:
        OSError: it can be neither removed nor renamed.
    """
    _LOG.warning("bench: %s is damaged, or no data of the bench; it is made again", path)
    if path.is_symlink() or not path.is_dir():
        path.unlink(missing_ok=True)
        return
    aside = path.with_name(f".new-{uuid.uuid4().hex}")
    path.rename(aside)
    shutil.rmtree(aside, ignore_errors=True)


def remove_leftovers(folder: Path, pattern: str) -> None:
    """Remove what interrupted commands have left in a folder more than a day ago.

    Args:
        folder: it has just been written to, so its time is the present, also on a file server.
        pattern: of the names.
    """
    with suppress(OSError):
        now = folder.stat().st_mtime
        for path in folder.glob(pattern):
            if now - path.lstat().st_mtime > _OLD_SECONDS:
                _remove_quietly(path)


def _remove_quietly(path: Path) -> None:
    with suppress(OSError):
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path)
        else:
            path.unlink()
