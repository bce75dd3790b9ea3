"""Turns jobs into tasks, runs them one at a time, and writes a record of each.

The parent sleeps while a job measures. Every outcome of a job has a record.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from backends import registry
from backends.contract import Job
from backends.registry import adapter_of, package_of
from bench.data.dataset import DataSet
from bench.machine.host import Machine, gpu_kind, gpu_of, load_average
from bench.records.job import FORMAT, DataUsed, Record, checked, read_record, write_record
from bench.records.key import checksum_of, job_key
from bench.runner.environments import Environments
from bench.runner.process import run_worker
from bench.runner.task import DataTask, Ended, Limits, Observer, files_of
from bench.worker.clock import monotonic_seconds, utc
from bench.worker.lines import Epoch, Line, Startup
from bench.worker.training import Assignment


def make_tasks(
    jobs: Sequence[tuple[Job, DataSet]], found: Environments, machine: Machine, limits: Limits
) -> list[DataTask]:
    """A task per job: the job with its interpreter, versions and key.

    Raises:
        InstallError: a backend is unknown, or not installed; or this is not a clone.
    """
    tasks = []
    for job, data in jobs:
        entry = registry.entry(job.backend)
        python, versions = found.require(job.backend), found.versions(entry.environment)
        evaluated = min(limits.train_evaluated, data.train_examples)
        adapter = adapter_of(job.backend, job.mode)
        source = checksum_of("bench.worker.training", adapter)
        place = (machine.name, gpu_kind(machine, job.device))
        tasks.append(
            DataTask(
                job=job,
                data=data,
                key=job_key(
                    job, data.checksum, sorted(versions.items()), source, *place, evaluated
                ),
                entry=entry,
                python=str(python),
                versions=versions,
                adapter=adapter,
                adapter_checksum=checksum_of(adapter),
            )
        )
    return tasks


def run_tasks(
    tasks: Sequence[DataTask],
    folder: Path,
    machine: Machine,
    limits: Limits,
    observer: Observer,
    *,
    retry: bool,
) -> list[Record]:
    """Run the tasks that have no record yet, in order; returns every record, old and new.

    Args:
        tasks: from `make_tasks`.
        folder: the run's; records go to `folder/jobs`.
        machine: where this runs; it becomes part of every record.
        limits: see `Limits`.
        observer: told of every start, epoch and end.
        retry: also run what has a record that is not ok.

    Raises:
        RunError: the folder cannot be written, or holds records of another version.
        KeyboardInterrupt: passed on after the worker was stopped; its job has no record.
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


def _run_task(
    task: DataTask, jobs: Path, machine: Machine, limits: Limits, observer: Observer
) -> Record:
    """Run one worker until it ends; returns its record, whatever the outcome."""
    gpu = gpu_of(machine, task.job.device)
    assignment = Assignment(
        job=task.job,
        adapter=task.adapter,
        package=package_of(task.adapter),
        data=task.data.folder,
        train_evaluated=limits.train_evaluated,
        gpu=gpu.uuid if gpu else "",
    )
    files = files_of(task, jobs)

    def advanced(lines: list[Line]) -> None:
        observer.advanced(task, [line for line in lines if isinstance(line, Epoch)])

    started, began, timeout = utc(), monotonic_seconds(), limits.timeout_seconds
    ended = run_worker(
        "bench.worker.training", task, assignment, files, machine, timeout, Line, advanced
    )
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
