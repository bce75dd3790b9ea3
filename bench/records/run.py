"""A run's folder: it has a record per job, and one process of each machine may write to it."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from bench.records.decode import Decoder
from bench.records.files import RunError, write_atomically
from bench.records.job import Record, read_record

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]  # there are no locks, and no process is refused


@contextlib.contextmanager
def claim_run(folder: Path, machine: str) -> Iterator[list[Record]]:
    """Lock a run's folder for this process, see `claim`; yield the records that are in it.

    Raises:
        RunError: the folder cannot be written or has records of another version, or another process
            has locked it.
    """
    with claim(folder / "jobs", machine):
        records, _ = read_run(folder)
        yield records


@contextlib.contextmanager
def claim(folder: Path, machine: str) -> Iterator[None]:
    """Lock a folder for this process.

    Two processes on one machine would do each job twice, and mix their lines. Other machines may
    write to the same folder, as the machine is part of a record's key.

    Raises:
        RunError: the folder cannot be written, or another process has locked it.
    """
    path = folder / f".{machine}.lock"
    write_atomically(path.with_suffix(".probe"), b"")
    path.with_suffix(".probe").unlink(missing_ok=True)
    with path.open("w") as file:
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


def read_run(folder: Path) -> tuple[list[Record], list[Path]]:
    """The records of a run (its `jobs` folder), sorted by key, and the damaged files.

    Raises:
        RunError: there is no such run; a record is from another version.
    """
    if not (folder / "jobs").is_dir():
        raise RunError(
            f"{folder}: holds no run", expected="a folder with jobs/", hint="bench run makes one"
        )
    decode = Decoder().record
    names = sorted(os.listdir(folder / "jobs"))  # noqa: PTH208 - paths of 100,000 take as long as decoding
    names = [name for name in names if name.endswith(".json") and not name.startswith(".")]
    read = {name: _named(name, read_record(f"{folder}/jobs/{name}", decode)) for name in names}
    return (
        [record for record in read.values() if record is not None],
        [folder / "jobs" / name for name, record in read.items() if record is None],
    )


def _named(name: str, record: Record | None) -> Record | None:
    """The record, if its key is its file's name: two files of one key would count as one job."""
    return record if record is not None and f"{record.key}.json" == name else None
