"""A task: a job with all that running it takes; who is told of it; the files of its worker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from backends.contract import Job
from backends.family import Entry
from bench.data.dataset import DataSet
from bench.machine import device
from bench.machine.disturbance import Disturbance
from bench.records.job import Record
from bench.worker.lines import End, Epoch


class Task(Struct, frozen=True, kw_only=True):
    """A job with all that running it in a worker needs; for `adapter_checksum` see `Record`."""

    job: Job
    key: str
    entry: Entry
    python: str
    versions: dict[str, str]
    adapter: str
    adapter_checksum: str


class DataTask(Task, frozen=True, kw_only=True):
    """A task of a run, with the data set that its job trains on."""

    data: DataSet


class Observer(Protocol):
    """Who is told what happens, to show it."""

    def planned(self, tasks: Sequence[DataTask]) -> None: ...
    def started(self, task: DataTask) -> None: ...
    def advanced(self, task: DataTask, epochs: Sequence[Epoch]) -> None: ...
    def ended(self, task: DataTask, record: Record, *, old: bool) -> None: ...


class Limits(Struct, frozen=True, kw_only=True):
    """How a run treats its jobs: seconds without a sign of progress, and how much of the training set is evaluated."""

    timeout_seconds: float
    train_evaluated: int


class Files(Struct, frozen=True, kw_only=True):
    """Where a worker reads its assignment, tells its lines, and leaves what frameworks print."""

    assignment: Path
    lines: Path
    log: Path


class Ended(Struct, frozen=True, kw_only=True):
    """A worker after its end: the lines that it told; its end, if need be as seen from outside; what the parent saw."""

    lines: list[Any]
    end: End
    peak: device.DevicePeak | None
    disturbance: Disturbance


def files_of(task: Task, folder: Path) -> Files:
    """The files of a task's worker, in its run's folder."""
    names = (
        folder.resolve() / f"{task.key}.{end}" for end in ("assignment", "progress.jsonl", "log")
    )
    return Files(**dict(zip(("assignment", "lines", "log"), names, strict=True)))
