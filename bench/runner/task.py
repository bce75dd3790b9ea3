"""Defines a task (a job and what its worker needs), its observer, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

from msgspec import Struct

from backends.contract import Job
from backends.family import Entry
from bench.data.dataset import DataSet
from bench.machine.device import DevicePeak
from bench.machine.disturbance import Disturbance
from bench.records.stored import Outcome
from bench.worker.assignment import Assignment, Train
from bench.worker.lines import End, Line


class Task(Struct, frozen=True, kw_only=True):
    """A job, and how its worker is started.

    Attributes:
        key: of its record.
        entry: the backend's, with the variables that its worker needs.
        python: the interpreter.
        versions, adapter_checksum: see `bench.records.stored`.
        assignment: what the worker is told.
    """

    job: Job
    key: str
    entry: Entry
    python: str
    versions: dict[str, str]
    adapter_checksum: str
    assignment: Assignment


class TrainingTask(Task, frozen=True, kw_only=True):
    """A task of a run, with the data set that its job trains on."""

    assignment: Train
    data: DataSet


class Observer(Protocol):
    """It is told what happens to tasks, in order to show it."""

    def planned(self, tasks: Sequence[Task]) -> None: ...
    def started(self, task: Task) -> None: ...
    def advanced(self, task: Task, lines: Sequence[Line]) -> None: ...
    def ended(self, task: Task, record: Any, *, reused: bool) -> None: ...


class Files(Struct, frozen=True, kw_only=True):
    """The files of a worker: its assignment, the lines that it tells, and what frameworks print."""

    assignment: Path
    lines: Path
    log: Path


class Ended(Struct, frozen=True, kw_only=True):
    """A worker after its end.

    Attributes:
        lines: those that it told.
        end: the outcome as it told it; or as its parent saw it, if it told none.
        started, wall_seconds: see `bench.records.stored.Outcome`.
        peak: the most memory on its GPU that its parent saw; None if none was seen.
        disturbance: what its parent saw of other work on the machine.
    """

    lines: list[Line]
    end: End
    started: str
    wall_seconds: float
    peak: DevicePeak | None
    disturbance: Disturbance


def files_of(task: Task, folder: Path) -> Files:
    """The files of a task's worker, in the folder of its record."""
    base = folder.resolve()
    return Files(
        assignment=base / f"{task.key}.assignment",
        lines=base / f"{task.key}.progress.jsonl",
        log=base / f"{task.key}.log",
    )


def outcome_fields(task: Task, ended: Ended, kind: type[Outcome]) -> dict[str, Any]:
    """The fields that the records of all workers have, except for the machine."""
    return {
        "format": kind.FORMAT,
        "key": task.key,
        "status": ended.end.status,
        "reason": ended.end.reason,
        "details": ended.end.traceback,
        "versions": task.versions,
        "adapter_checksum": task.adapter_checksum,
        "started": ended.started,
        "wall_seconds": ended.wall_seconds,
    }
