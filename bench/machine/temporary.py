"""Makes temporary folders, and removes those of processes that were killed.

The process that owns a folder locks it. The lock ends with the process, even if it is killed.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import suppress
from functools import cache
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows has no locks, so no process removes another's folder
    fcntl = None  # type: ignore[assignment]

# Every folder with this prefix is removed when nobody locks it, so nothing else may have the
# prefix: a user may have unpacked this project as framework-bench-0.2.0 in the folder for temporary
# files.
_PREFIX = "framework-bench-worker-tmp-"


class TemporaryFolder:
    """A new folder of this process; use it in a `with` statement, or call `remove`.

    Attributes:
        path: the path of the folder.
    """

    def __init__(self) -> None:
        """Make the folder.

        Raises:
            OSError: the system's folder for temporary files cannot be written.
        """
        self._lock: int | None = None
        while True:
            self.path = Path(tempfile.mkdtemp(prefix=_PREFIX))
            # Another process may find it before it is locked, and remove it.
            with suppress(BlockingIOError):
                self._lock = _lock(self.path)
                if self.path.is_dir():
                    return
            self.remove()

    def __enter__(self) -> Path:
        return self.path

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        """Remove the folder with all that is in it."""
        shutil.rmtree(self.path, ignore_errors=True)
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None


@cache
def remove_abandoned() -> None:
    """Remove the temporary folders of this user whose owners have ended; once per process."""
    if fcntl is None:
        return
    for path in Path(tempfile.gettempdir()).glob(f"{_PREFIX}*"):
        with suppress(OSError):
            if path.is_symlink() or path.stat().st_uid != os.getuid():
                continue
            lock = _lock(path)
            if lock is not None:
                shutil.rmtree(path, ignore_errors=True)
                os.close(lock)


def _lock(path: Path) -> int | None:
    """Lock a folder; returns the descriptor that holds the lock.

    None if there is no such folder, or on a file system without locks of folders, such as NFS.

    Raises:
        BlockingIOError: another process holds the lock.
    """
    if fcntl is None:
        return None
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return None
    return descriptor
