"""Defines a task (a job and what its worker needs), its observer, and its outcome."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

from msgspec import Struct

from backends.contract import Job
from backends.family import Entry
from bench.data.dataset import DataSet
from bench.machine.device import DevicePeak
from bench.machine.disturbance import UNKNOWN, Disturbance
from bench.machine.gpu_state import GpuState
from bench.records.stored import Outcome
from bench.worker.assignment import Assignment, Train
from bench.worker.clock import utc
from bench.worker.lines import End, Line

_Line = TypeVar("_Line")


class Task(Struct, frozen=True, kw_only=True):
    """A job, and how its worker is started.

    Attributes:
        key: the key of its record.
        entry: the backend's entry in the registry.
        python: the path of the interpreter.
        versions, adapter_checksum, variables: see `bench.records.stored`.
        assignment: the worker's input.
    """

    job: Job
    key: str
    entry: Entry
    python: str
    versions: dict[str, str]
    adapter_checksum: str
    assignment: Assignment
    variables: tuple[str, ...] = ()


class TrainingTask(Task, frozen=True, kw_only=True):
    """A task of a run, with the data set that its job trains on."""

    assignment: Train
    data: DataSet


class Observer(Protocol):
    """Shows the progress of tasks.

    `advanced` gets all lines of the worker so far, `turned` the finished sweeps of a group's turns.
    """

    def planned(self, tasks: Sequence[Task]) -> None: ...
    def started(self, task: Task) -> None: ...
    def advanced(self, task: Task, lines: Sequence[Line]) -> None: ...
    def ended(self, task: Task, record: Any, *, reused: bool) -> None: ...
    def turned(self, tasks: Sequence[TrainingTask], sweeps: int) -> None: ...


class Files(Struct, frozen=True, kw_only=True):
    """The files of a worker: its assignment, its lines, and the output of its framework."""

    assignment: Path
    lines: Path
    log: Path


class WorkerResult(Struct, frozen=True, kw_only=True):
    """The result of a worker that has ended.

    Attributes:
        lines: the lines that it wrote.
        end: its `End`, or what its parent observed if that line is missing.
        started, wall_seconds: see `bench.records.stored.Outcome`.
        peak: the peak of its GPU memory; None if the parent measured none.
        gpu: the state of its GPU; None if there is none.
        disturbance: the other load of the machine.
        dropped: see `bench.records.stored.Outcome`.
    """

    lines: list[Line]
    end: End
    started: str
    wall_seconds: float
    peak: DevicePeak | None
    gpu: GpuState | None
    disturbance: Disturbance
    dropped: tuple[str, ...] = ()

    def first(self, kind: type[_Line]) -> _Line | None:
        """The first line of a kind; None if the worker wrote none."""
        return next((line for line in self.lines if isinstance(line, kind)), None)


def refused(reason: str) -> WorkerResult:
    """The result of a job that was not started for lack of memory."""
    reason = f"not started: {reason}"
    return WorkerResult(
        lines=[],
        end=End(status="out of memory", reason=reason, traceback="", cpu_seconds=None),
        started=utc(),
        wall_seconds=0.0,
        peak=None,
        gpu=None,
        disturbance=UNKNOWN,
    )


def files_of(task: Task, folder: Path) -> Files:
    """The files of a task's worker; `folder` is the folder of its record."""
    base = folder.resolve()
    return Files(
        assignment=base / f"{task.key}.assignment",
        lines=base / f"{task.key}.progress.jsonl",
        log=base / f"{task.key}.log",
    )


def outcome_fields(task: Task, result: WorkerResult, kind: type[Outcome]) -> dict[str, Any]:
    """The fields that all kinds of records have, except the machine."""
    return {
        "format": kind.FORMAT,
        "key": task.key,
        "status": result.end.status,
        "reason": result.end.reason,
        "details": result.end.traceback,
        "versions": task.versions,
        "adapter_checksum": task.adapter_checksum,
        "started": result.started,
        "wall_seconds": result.wall_seconds,
        "variables": task.variables,
        "dropped": result.dropped,
    }
