"""Jobs to processes to records. One job at a time; the parent sleeps while it measures, and every end is a record."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import count
from pathlib import Path

from backends.contract import Job
from bench import environments
from bench.data import DataSet
from bench.environments import Environments, adapter_of
from bench.imported import checksum_of
from bench.machine import Machine, gpu_of, load_average
from bench.measure import monotonic_seconds, utc
from bench.plan import Cell
from bench.process import DataTask, Ended, Limits, Observer, files_of, run_worker
from bench.record import (
    FORMAT,
    DataUsed,
    Epoch,
    Line,
    Record,
    Startup,
    checked,
    job_key,
    read_record,
    write_record,
)
from bench.rounds import Goal, said, said_rounds, widest
from bench.worker import Assignment


def make_tasks(
    jobs: Sequence[tuple[Job, DataSet]], found: Environments, machine: Machine, limits: Limits
) -> list[DataTask]:
    """Each job with its interpreter, versions and key.

    Raises:
        InstallError: a backend is unknown, or not installed; or this is not a clone.
    """
    tasks = []
    for job, data in jobs:
        entry = environments.entry(job.backend)
        python, versions = found.require(job.backend), found.versions(entry.environment)
        evaluated = min(limits.train_evaluated, data.train_examples)
        adapter = adapter_of(job.backend, job.mode)
        source = checksum_of("bench.worker", adapter)
        tasks.append(
            DataTask(
                job=job,
                data=data,
                key=job_key(job, data.checksum, sorted(versions.items()), source, machine.name, evaluated),
                entry=entry,
                python=str(python),
                versions=versions,
                adapter=adapter,
                adapter_checksum=checksum_of(adapter),
            )
        )
    return tasks


def run_rounds(
    cells: Sequence[Cell],
    tasks_of: Callable[[Sequence[Cell], int], list[DataTask]],
    run: Callable[[list[DataTask]], list[Record]],
    goal: Goal,
    observer: Observer,
) -> tuple[list[Record], list[str]]:
    """Rounds of all cells until each has enough, or time is up; every record, and per cell why there are no more.

    Args:
        cells: see `plan.make_cells`.
        tasks_of: the tasks of a round, given the cells that are still open and its number.
        run: runs tasks, see `run_tasks`.
        goal: what is enough.
        observer: told what will be run, as soon as it is known.

    Raises:
        what `tasks_of` and `run` do; what was run has its records.
    """
    began, open_cells, ends = monotonic_seconds(), list(cells), dict[int, str]()
    ahead = [tasks_of(cells, turn) for turn in range(goal.certain)]
    observer.planned([task for tasks in ahead for task in tasks])
    records: list[Record] = []
    for turn in count():
        if turn >= len(ahead):
            ahead.append(tasks_of(open_cells, turn))
            observer.planned(ahead[turn])
        records += run(ahead[turn])
        up = goal.seconds is not None and monotonic_seconds() - began >= goal.seconds
        for cell in list(open_cells):
            own = [record for record in records if _is_of(record, cell)]
            why = goal.enough(own) if turn + 1 >= goal.certain else ""
            if up and not why:
                why = f"time is up after {said_rounds(turn + 1)}, {said(widest(own))}"
            if why:
                open_cells.remove(cell)
                ends[cells.index(cell)] = why
        if not open_cells:
            return records, [ends[number] for number in range(len(cells))]
    raise AssertionError("rounds end")


def _is_of(record: Record, cell: Cell) -> bool:
    contest, device = cell
    size = contest.batch_size or contest.workload.recipe.batch_size
    job = record.job
    return (job.workload, job.batch_size, job.device) == (contest.workload, size, device)


def run_tasks(
    tasks: Sequence[DataTask], folder: Path, machine: Machine, limits: Limits, observer: Observer, *, retry: bool
) -> list[Record]:
    """Run what has no record yet (with `retry`, also what did not end ok), in order; every record, old and new.

    Args:
        tasks: from `make_tasks`.
        folder: the run's; records go to `folder/jobs`.
        machine: where this runs; it becomes part of every record.
        limits: see `Limits`.
        observer: told of every start, epoch and end.
        retry: run again what has a record that is not ok.

    Raises:
        RunError: the folder cannot be written, or holds records of another version.
        KeyboardInterrupt: passed on after the worker was stopped; the job it was at has no record.
    """
    records = []
    jobs = folder / "jobs"
    for task in tasks:
        path = jobs / f"{task.key}.json"
        record = read_record(path) if path.exists() else None
        old = record is not None and (record.status == "ok" or not retry)
        if record is None or not old:
            observer.started(task)
            record = _run_task(task, jobs, machine, limits, observer)
            write_record(jobs, record)
            (jobs / f"{task.key}.progress.jsonl").unlink(missing_ok=True)
        observer.ended(task, record, old=old)
        records.append(record)
    return records


def _run_task(task: DataTask, jobs: Path, machine: Machine, limits: Limits, observer: Observer) -> Record:
    """Run one worker to its end, whatever that is."""
    gpu = gpu_of(machine, task.job.device)
    assignment = Assignment(
        job=task.job,
        adapter=task.adapter,
        data=task.data.folder,
        train_evaluated=limits.train_evaluated,
        gpu=gpu.uuid if gpu else "",
    )
    files = files_of(task, jobs)

    def advanced(lines: list[Line]) -> None:
        observer.advanced(task, [line for line in lines if isinstance(line, Epoch)])

    started, began = utc(), monotonic_seconds()
    ended = run_worker("bench.worker", task, assignment, files, machine, limits.timeout_seconds, Line, advanced)
    record = checked(_record(task, machine, ended, started, monotonic_seconds() - began))
    if record.status == "ok":
        files.log.unlink(missing_ok=True)
    return record


def _record(task: DataTask, machine: Machine, ended: Ended, started: str, seconds: float) -> Record:
    """The record of a worker that has ended, `seconds` after it was started."""
    end, peak, data = ended.end, ended.peak, task.data
    return Record(
        format=FORMAT,
        key=task.key,
        status=end.status,
        reason=end.reason,
        details=end.traceback,
        job=task.job,
        data=DataUsed(
            name=data.name,
            checksum=data.checksum,
            train_examples=data.train_examples,
            test_examples=data.test_examples,
        ),
        machine=machine,
        versions=task.versions,
        adapter_checksum=task.adapter_checksum,
        started=started,
        wall_seconds=seconds,
        cpu_seconds=end.cpu_seconds,
        load_average=load_average(),
        disturbance=ended.disturbance,
        startup=next((line for line in ended.lines if isinstance(line, Startup)), None),
        epochs=tuple(line for line in ended.lines if isinstance(line, Epoch)),
        inputs=end.inputs,
        device_memory=end.device_memory,
        device_peak_bytes=peak.peak_bytes if peak else None,
        device_peak_by=peak.by if peak else None,
    )
