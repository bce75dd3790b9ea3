"""A run's folder: it has a record per job, and one process of each machine may write to it."""

from __future__ import annotations

import contextlib
import os
import re
import stat
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from bench.records.files import RunError, write_atomically
from bench.records.job import Record
from bench.records.stored import LeftOut, read

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # there are no locks, and no process is refused


@contextlib.contextmanager
def claim(folder: Path, machine: str) -> Iterator[None]:
    """Lock a folder for this process.

    Two processes on one machine would do each job twice, and mix their lines. Other machines may
    write to the same folder, as the machine is part of a record's key.

    Raises:
        RunError: the folder cannot be written, or another process has locked it.
    """
    name = re.sub(r"[^A-Za-z0-9._-]", "-", machine)[:100]  # the system's name may be any text
    path = folder / f".{name}.lock"
    write_atomically(path.with_suffix(".probe"), b"")
    path.with_suffix(".probe").unlink(missing_ok=True)
    with _open(path) as file:
        try:
            if fcntl is not None:  # the lock ends with the process, however it ends
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            problem = f"{folder}: another `bench` on this machine is writing to it"
            raise RunError(
                problem, expected="one at a time", hint="wait for it; a run may take another --run"
            ) from None
        except OSError:  # a file system without locks: no process is refused
            pass
        yield


def _open(path: Path) -> IO[bytes]:
    """Open a file to lock it; its content does not change.

    Raises:
        RunError: it is a link, a pipe or the like, or cannot be written.
    """
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        file = os.fdopen(os.open(path, flags, 0o644), "r+b", buffering=0)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be locked: {error.strerror}",
            expected="no file, or one that bench made",
            hint="remove it",
        ) from error
    if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
        file.close()
        raise RunError(f"{path}: is not a regular file", hint="remove it")
    return file


def read_run(folder: Path, known: Iterable[Record] = ()) -> tuple[list[Record], list[LeftOut]]:
    """The records of a run (its `jobs` folder), sorted by key, and the files that are left out.

    Args:
        folder: the run's folder.
        known: records that need not be read again.

    Raises:
        RunError: there is no such run.
    """
    if not (folder / "jobs").is_dir():
        raise RunError(
            f"{folder}: is not a results folder",
            expected="a folder with jobs/",
            hint="bench run makes one",
        )
    return read([folder / "jobs"], Record, known)
