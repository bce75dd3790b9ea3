"""Removes damaged files from the cache, which may be shared with other users."""

from __future__ import annotations

import logging
import uuid
from contextlib import suppress
from pathlib import Path

from specs.files import remove

NEW = ".new-"  # the prefix of a folder that is being written or removed
_LOG = logging.getLogger("bench")


def heal(path: Path) -> None:
    """Remove a damaged file or folder, with a warning; one with another user's files is renamed.

    Raises:
        OSError: the path can be neither removed nor renamed.
    """
    _LOG.warning("bench: %s is damaged, or was not written by the bench; it is made again", path)
    if path.is_dir() and not path.is_symlink():
        path = path.rename(path.with_name(f"{NEW}{uuid.uuid4().hex}"))
        with suppress(OSError):
            remove(path)
    else:
        remove(path)
