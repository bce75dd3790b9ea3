"""Runs tasks one at a time, and writes a record of each outcome."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.machine.host import Machine
from bench.records.stored import Outcome, write
from bench.runner.process import Worker
from bench.runner.task import Observer, Task, WorkerResult, files_of

_Task = TypeVar("_Task", bound=Task)
_Record = TypeVar("_Record", bound=Outcome)


def run_tasks(
    tasks: Sequence[_Task],
    folder: Path,
    machine: Machine,
    make_record: Callable[[_Task, Machine, WorkerResult], _Record],
    *,
    timeout: float,
    observer: Observer,
    reused: Mapping[str, _Record] | None = None,
    files: Path | None = None,
) -> list[_Record]:
    """Run tasks in order; returns the record of every task.

    Args:
        tasks: the tasks.
        folder: the folder of their records.
        machine: this machine.
        make_record: makes the record of a task.
        timeout: a worker that writes no line for this many seconds is killed.
        observer: shows the progress.
        reused: key -> the record of a task that is not run again.
        files: the folder of the workers' files; None for the folder of the records.

    Raises:
        RunError: the folder cannot be written, or an interpreter cannot be started.
        KeyboardInterrupt: the worker was killed, and its task has no record.
    """
    records = []
    for task in tasks:
        record = (reused or {}).get(task.key)
        is_reused = record is not None
        if record is None:
            observer.started(task)
            with Worker(task, files or folder, machine) as worker:
                result = worker.result(timeout, partial(observer.advanced, task))
            record = make_record(task, machine, result).checked()
        try:
            if not is_reused:
                write(folder, record)
        finally:
            remove_files(task, files or folder, record)
        observer.ended(task, record, reused=is_reused)
        records.append(record)
    return records


def remove_files(task: Task, folder: Path, record: Outcome) -> None:
    """Remove the worker's files; the log is kept if the outcome is not ok.

    An earlier parent that was killed may have left them beside the record.
    """
    files = files_of(task, folder)
    files.assignment.unlink(missing_ok=True)
    files.lines.unlink(missing_ok=True)
    if record.status == "ok":
        files.log.unlink(missing_ok=True)
