"""Removes from the cache what is not what its name says; a cache may be shared with other users."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from pathlib import Path

from specs.files import remove

NEW = ".new-"  # begins the name of a folder that is being written, or removed
_LOG = logging.getLogger("bench")


def heal(path: Path) -> None:
    """Remove whatever has this name, and say so. What holds files of another user is renamed.

    Raises:
        OSError: it can be neither removed nor renamed.
    """
    _LOG.warning("bench: %s is damaged, or was not written by the bench; it is made again", path)
    if path.is_dir() and not path.is_symlink():
        path = path.rename(path.with_name(f"{NEW}{uuid.uuid4().hex}"))
        with suppress(OSError):
            remove(path)
    else:
        remove(path)
