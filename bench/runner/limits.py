"""Measures what each engine of a run reaches by itself, in a process of its own.

An engine is an environment's framework on a device, with its threads and precision. Its record lies
in `RUN/limits/`. If an engine could not be measured, its record says so, and the run goes on.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import msgspec
from msgspec.structs import replace

from backends.registry import ENGINES, package_of
from bench.machine.host import Machine, gpu_kind
from bench.records.files import write_atomically
from bench.records.key import checksum_of, make_key
from bench.records.limits import FOLDER, FORMAT, EngineLimits, read_engine
from bench.runner.process import run_worker
from bench.runner.task import DataTask, Task, files_of
from bench.worker.clock import monotonic_seconds, utc
from bench.worker.limits import Assignment, Line, Settled
from bench.worker.lines import Reached

# For one size, with what a framework needs to start; the longest seen was 10 s.
_TIMEOUT_SECONDS = 180.0


def limit_tasks(
    tasks: Sequence[DataTask], folder: Path, machine: Machine, *, retry: bool
) -> list[Task]:
    """A task per engine that has a job without a record, and whose limits are not measured yet.

    Args:
        tasks: the run's, see `bench.runner.jobs.make_tasks`.
        folder: the run's.
        machine: this one.
        retry: measure again what could not be measured before.
    """
    found: dict[str, Task] = {}
    for task in tasks:
        if (folder / "jobs" / f"{task.key}.json").exists():
            continue  # it ran earlier, and limits of today say nothing about it
        made = _limit_task(task, machine)
        record = read_engine(folder / FOLDER / f"{made.key}.json")
        if record is None or (retry and record.status != "ok"):
            found.setdefault(made.key, made)
    return list(found.values())


def measure_limits(task: Task, folder: Path, machine: Machine) -> EngineLimits:
    """Measure one engine and write its record to `folder/limits`; takes some seconds.

    Raises:
        RunError: the folder cannot be written.
    """
    place = folder / FOLDER
    files, started, began = files_of(task, place), utc(), monotonic_seconds()
    assignment = Assignment(job=task.job, engine=task.adapter, package=package_of(task.adapter))
    try:
        ended = run_worker(
            "bench.worker.limits", task, assignment, files, machine, _TIMEOUT_SECONDS, Line
        )
    finally:
        for path in (files.lines, files.log):
            path.unlink(missing_ok=True)
    lines, end = ended.lines, ended.end
    settled = next((line for line in lines if isinstance(line, Settled)), None)
    made = EngineLimits(
        format=FORMAT,
        key=task.key,
        status=end.status,
        reason=end.reason,
        details=end.traceback,
        environment=task.entry.environment,
        device=task.job.device,
        threads=task.job.threads,
        precision=task.job.precision,
        machine=machine,
        versions=task.versions,
        started=started,
        wall_seconds=monotonic_seconds() - began,
        value_bytes=settled.value_bytes if settled else None,
        settings=settled.settings if settled else {},
        reached=tuple(line for line in lines if isinstance(line, Reached)),
    )
    write_atomically(
        place / f"{made.key}.json", msgspec.json.format(msgspec.json.encode(made), indent=1)
    )
    return made


def _limit_task(task: DataTask, machine: Machine) -> Task:
    """The engine under a task; its key changes with all that its limits depend on."""
    job, engine = task.job, ENGINES[task.entry.environment]
    source = checksum_of("bench.worker.limits", engine)
    how = (engine, job.device, job.threads, job.precision, job.deterministic)
    place = (machine.name, gpu_kind(machine, job.device))
    decisive = (*how, sorted(task.versions.items()), source, *place)
    return Task(
        job=replace(job, mode="matched"),
        key=make_key((task.entry.environment, job.device, f"t{job.threads}"), decisive),
        entry=task.entry,
        python=task.python,
        versions=task.versions,
        adapter=engine,
        adapter_checksum=source,
    )
