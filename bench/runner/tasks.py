"""Runs tasks one at a time, and writes a record of each: of a job, a verification, or limits.

The parent sleeps while a worker measures. Every outcome of a task has a record.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TypeVar

from bench.machine.host import Machine
from bench.records.stored import Outcome, write
from bench.runner.process import run_worker
from bench.runner.task import Ended, Observer, Task, files_of

_Task = TypeVar("_Task", bound=Task)
_Record = TypeVar("_Record", bound=Outcome)


def run_tasks(
    tasks: Sequence[_Task],
    folder: Path,
    machine: Machine,
    make_record: Callable[[_Task, Machine, Ended], _Record],
    *,
    timeout: float,
    observer: Observer,
    reused: Mapping[str, _Record] | None = None,
) -> list[_Record]:
    """Run the tasks that have no record yet, in order; returns the record of every task.

    Args:
        tasks: see `Task`.
        folder: of their records.
        machine: where this runs; it becomes part of every record.
        make_record: makes the record of a task whose worker has ended.
        timeout: after so many seconds without a line a worker is killed.
        observer: told of every start, line and end.
        reused: the records, by key, of tasks that are not run again.

    Raises:
        RunError: the folder cannot be written, or an interpreter cannot be started.
        KeyboardInterrupt: passed on after the worker was stopped; its task has no record.
    """
    records = []
    for task in tasks:
        earlier = (reused or {}).get(task.key)
        if earlier is None:
            observer.started(task)
            ended = run_worker(task, folder, machine, timeout, partial(observer.advanced, task))
            record = make_record(task, machine, ended).checked()
            write(folder, record)
            _remove_files(task, folder, record)
        else:
            record = earlier
        observer.ended(task, record, reused=earlier is not None)
        records.append(record)
    return records


def _remove_files(task: Task, folder: Path, record: Outcome) -> None:
    """Remove the worker's files; the log is kept if the outcome is not ok."""
    files = files_of(task, folder)
    files.lines.unlink(missing_ok=True)
    if record.status == "ok":
        files.log.unlink(missing_ok=True)
