"""Decodes many records of a run; equal parts are decoded and kept in memory only once.

Half of a record's text is its workload, machine, versions and settings, and a run has only a few
different ones of each. So 100,000 records are read in half the time and with a third of the memory.
"""

from __future__ import annotations

from typing import Any, TypeVar

import msgspec
from msgspec import Struct
from msgspec.structs import asdict

from backends.contract import Job
from bench.machine.host import Machine
from bench.records.job import Record
from bench.worker.lines import SettingValue, Startup
from specs.model import Workload

_Kind = TypeVar("_Kind", bound=Struct)


# The fields below replace a type by its undecoded text, which mypy takes for a mistake.
class _StoredJob(Job, frozen=True):
    workload: msgspec.Raw  # type: ignore[assignment]


class _StoredStartup(Startup, frozen=True):
    settings: msgspec.Raw  # type: ignore[assignment]


class _Stored(Record, frozen=True):
    """A record whose largest parts are still text."""

    job: _StoredJob
    machine: msgspec.Raw  # type: ignore[assignment]
    versions: msgspec.Raw  # type: ignore[assignment]
    startup: _StoredStartup | None


class Decoder:
    """Decodes the records of a run; equal parts are decoded and kept only once."""

    def __init__(self) -> None:
        self._parts: dict[tuple[Any, bytes], Any] = {}

    def record(self, content: bytes) -> Record:
        """The record in a file's content.

        Raises:
            msgspec.DecodeError, UnicodeDecodeError: the content is not a record.
        """
        stored = msgspec.json.decode(content, type=_Stored)
        job, startup = stored.job, stored.startup
        return _as(
            Record,
            stored,
            job=_as(Job, job, workload=self._part(Workload, job.workload)),
            machine=self._part(Machine, stored.machine),
            versions=self._part(dict[str, str], stored.versions),
            startup=startup
            and _as(
                Startup, startup, settings=self._part(dict[str, SettingValue], startup.settings)
            ),
        )

    def _part(self, kind: Any, text: msgspec.Raw) -> Any:
        key = kind, bytes(text)
        if key not in self._parts:
            self._parts[key] = msgspec.json.decode(text, type=kind)
        return self._parts[key]


def _as(kind: type[_Kind], stored: Any, **parts: Any) -> _Kind:
    """A struct of the kind: its fields are those of `stored`, except for these parts."""
    return kind(**(asdict(stored) | parts))
