"""The fields that all records on disk share, and the only functions that write and read them.

A record is one JSON file, `KEY.json`, written whole or not at all. It may come from somebody else.
A file is left out if this version cannot read it, or if its values are impossible; the caller gets
the reason, and reading goes on with the other files.
"""

from __future__ import annotations

from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from typing import ClassVar, NamedTuple, Self, TypeVar

import msgspec
from msgspec import Struct

from bench.machine.host import Machine
from bench.records.bounds import outside
from bench.records.files import write_atomically, write_new
from bench.records.key import Key
from bench.worker.lines import Status
from specs.files import read_regular

_MOST_BYTES = 100_000_000  # of a record; one of 100,000 epochs has about 80 MB


class Stored(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of every kind of record.

    Attributes:
        format: the version of the record's fields; only `FORMAT` of the kind is read.
        key: the name of the file, see `bench.records.key`.
        machine: the machine that made the record.
        versions: installed package -> version, of the worker's environment, and "python".
    """

    FORMAT: ClassVar[int]

    format: int
    key: Key
    machine: Machine
    versions: dict[str, str]

    @property
    def contradiction(self) -> str:
        """The contradiction that makes the record unusable; "" if there is none."""
        return ""

    def checked(self) -> Self:
        """The record as it is used after reading; a subclass may correct it."""
        return self


class Outcome(Stored, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The fields of every record of a worker's process, whatever its outcome.

    Attributes:
        status: "ok" if the worker did all of its work.
        reason: one line that says why the status is not "ok"; else "".
        details: a traceback, or the last lines of the log.
        adapter_checksum: checksum of the adapter's (or engine's) code and of all our code that it
            imports; "" if it was not computed.
        started: the time in UTC, see `bench.worker.clock.utc`.
        wall_seconds: of the whole process, from its start to its end.
        variables: the environment variables that the user gave the worker, each "NAME=VALUE".
        dropped: the user's variables that the worker did not get, as they would change what is
            measured, see `bench.runner.variables`.
    """

    status: Status
    reason: str
    details: str
    adapter_checksum: str
    started: str
    wall_seconds: float
    variables: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()

    @property
    def made_with(self) -> dict[str, str]:
        """What a reader compares: the versions, and the variables that the user gave."""
        return {**self.versions, **dict(variable.split("=", 1) for variable in self.variables)}


class LeftOut(NamedTuple):
    """A file that is not read, and the reason."""

    path: Path
    reason: str

    def __str__(self) -> str:
        return f"{self.path}: {self.reason}, left out"


Kind = TypeVar("Kind", bound=Stored)


def write(folder: Path, record: Stored) -> None:
    """Write `folder/KEY.json`, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    write_atomically(folder / f"{record.key}.json", _encoded(record))


def _encoded(record: Stored) -> bytes:
    return msgspec.json.format(msgspec.json.encode(record), indent=1)


def write_first(folder: Path, record: Stored) -> bool:
    """Write `folder/KEY.json` unless it exists; returns whether it was written.

    Raises:
        RunError: the folder cannot be written.
    """
    return write_new(folder / f"{record.key}.json", _encoded(record))


def read_keys(folder: Path, kind: type[Kind], keys: Iterable[str]) -> list[Kind]:
    """The records with these keys; those that do not exist or cannot be read are left out.

    It does not read the other records of the folder, which many machines may write to.
    """
    paths = (folder / f"{key}.json" for key in keys)
    results = (read_file(path, kind) for path in paths if path.is_file())
    return [record for record in results if not isinstance(record, LeftOut)]


def read(
    folders: Iterable[Path], kind: type[Kind], known: Iterable[Kind] = ()
) -> tuple[list[Kind], list[LeftOut]]:
    """The records of a kind in some folders, sorted by folder and key, and what is left out.

    Args:
        folders: a folder that does not exist counts as empty.
        kind: the kind of the records.
        known: records that need not be read again.
    """
    by_name = {f"{record.key}.json": record for record in known}
    records, left_out = [], []
    for folder in folders:
        for path in sorted(folder.glob("[!.]*.json"), key=attrgetter("name")):
            record = by_name.get(path.name) or read_file(path, kind)
            if isinstance(record, LeftOut):
                left_out.append(record)
            else:
                records.append(record)
    return records, left_out


def read_file(path: Path, kind: type[Kind]) -> Kind | LeftOut:
    """The record in a file, or why there is none."""
    try:
        content = read_regular(path, _MOST_BYTES)
    except OSError as error:
        return LeftOut(path, f"cannot be read ({error.strerror})")
    try:
        record = msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        record = None
    version = _format_of(content) if record is None else record.format
    if version is not None and version != kind.FORMAT:
        age = "a newer" if version > kind.FORMAT else "an older"
        return LeftOut(path, f"of {age} version (format {version}, expected {kind.FORMAT})")
    if record is None:
        return LeftOut(path, "damaged")
    if f"{record.key}.json" != path.name:  # two files of one key would count as one job
        return LeftOut(path, "named otherwise than its key")
    if problem := outside(content, kind) or record.contradiction:
        return LeftOut(path, f"not plausible ({problem})")
    return record.checked()


class _Format(Struct):
    format: int


def _format_of(content: bytes) -> int | None:
    try:
        return msgspec.json.decode(content, type=_Format).format
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
