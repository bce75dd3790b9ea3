"""What running a job takes: its task, limits and files, who is told of it, and how it ended."""

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
    """A job with all that a worker needs to run it; for `adapter_checksum` see `Record`."""

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
    """An object that is told what happens in a run, in order to show it."""

    def planned(self, tasks: Sequence[DataTask]) -> None: ...
    def started(self, task: DataTask) -> None: ...
    def advanced(self, task: DataTask, epochs: Sequence[Epoch]) -> None: ...
    def ended(self, task: DataTask, record: Record, *, old: bool) -> None: ...


class Limits(Struct, frozen=True, kw_only=True):
    """How a run treats its jobs.

    Attributes:
        timeout_seconds: without a sign of progress for so long, a job is killed.
        train_evaluated: how many training examples are evaluated, at most.
    """

    timeout_seconds: float
    train_evaluated: int


class Files(Struct, frozen=True, kw_only=True):
    """The files of a worker: its assignment, the lines that it tells, and what frameworks print."""

    assignment: Path
    lines: Path
    log: Path


class Ended(Struct, frozen=True, kw_only=True):
    """A worker after its end.

    Attributes:
        lines: those that it told.
        end: as it told it; or what its parent knows, if it told none.
        peak: the most memory on its GPU that its parent saw; None if none was seen.
        disturbance: what its parent saw of other work on the machine.
    """

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
