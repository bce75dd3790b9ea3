"""Runs on disk: a folder with a record per job, which one process of a machine holds while it writes."""

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
    fcntl = None  # type: ignore[assignment]  # there is no lock there, and nobody is refused


@contextlib.contextmanager
def claim_run(folder: Path, machine: str) -> Iterator[list[Record]]:
    """Hold a run's folder for this process, see `claim`; the records that it holds already.

    Raises:
        RunError: the folder cannot be written, holds records of another version, or another process
            holds it.
    """
    with claim(folder / "jobs", machine):
        records, _ = read_run(folder)
        yield records


@contextlib.contextmanager
def claim(folder: Path, machine: str) -> Iterator[None]:
    """Hold a folder for this process: two on one machine would do each job twice, and mix what they tell.

    Other machines may write to the same folder: the machine is part of a record's key.

    Raises:
        RunError: the folder cannot be written, or another process holds it.
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
        except OSError:  # a file system without locks: nobody is refused there
            pass
        yield


def read_run(folder: Path) -> tuple[list[Record], list[Path]]:
    """All records of a run (its `jobs` folder), sorted by key, and the files that were damaged and left out.

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
    """A record whose key is its file's name: two of one key would be taken for one job."""
    return record if record is not None and f"{record.key}.json" == name else None
