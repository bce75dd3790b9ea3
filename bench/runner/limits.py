"""Makes the tasks that measure the peak rates of each engine of a run, and their records.

An engine is an environment's framework on a device, with its threads and precision. Its record is
in `RUN/limits/`, even if it could not be measured.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from msgspec.structs import replace

from backends.registry import ENGINES, package_of
from bench.machine.host import Machine, gpu_kind
from bench.records.key import checksum_of, make_key, unusual
from bench.records.limits import EngineLimits
from bench.runner.task import Task, TrainingTask, WorkerResult, outcome_fields
from bench.worker.assignment import MeasureLimits
from bench.worker.lines import Reached, Settings

# For one size, including the framework's start; the longest measured was 10 s.
TIMEOUT_SECONDS = 180.0


def limit_tasks(
    tasks: Sequence[TrainingTask],
    ended: Iterable[str],
    measured: Sequence[EngineLimits],
    machine: Machine,
    *,
    retry: bool,
) -> list[Task]:
    """A task per engine that has a job to run and no measured limits.

    An engine's limits are those of one device, so jobs with several ranks have none.

    Args:
        tasks: the run's tasks, see `bench.runner.jobs.make_tasks`.
        ended: the keys of jobs that have ended; their engines need no limits.
        measured: the records of limits that the run has.
        machine: this machine.
        retry: repeat measurements that failed.
    """
    done = {record.key for record in measured if record.status == "ok" or not retry}
    ended_keys, engines = set(ended), dict[str, Task]()
    for task in tasks:
        is_measurable = ENGINES[task.entry.environment] and task.job.ranks == 1
        if task.key not in ended_keys and is_measurable:
            engine = _limit_task(task, machine)
            if engine.key not in done:
                engines.setdefault(engine.key, engine)
    return list(engines.values())


def make_record(task: Task, machine: Machine, result: WorkerResult) -> EngineLimits:
    """The record of an engine whose worker has ended."""
    settings = result.first(Settings)
    return EngineLimits(
        **outcome_fields(task, result, EngineLimits),
        machine=machine,
        environment=task.entry.environment,
        device=task.job.device,
        threads=task.job.threads,
        precision=task.job.precision,
        value_bytes=settings.value_bytes if settings else None,
        settings=settings.settings if settings else {},
        reached=tuple(line for line in result.lines if isinstance(line, Reached)),
    )


def _limit_task(task: TrainingTask, machine: Machine) -> Task:
    """The task of measuring the engine of a job."""
    job, engine = replace(task.job, mode="matched"), ENGINES[task.entry.environment]
    code = checksum_of("bench.worker.main", "bench.worker.limits", engine)
    settings = (engine, job.device, job.threads, job.precision, job.deterministic)
    hardware = (machine.name, gpu_kind(machine, job.device))
    decisive = (*settings, sorted(task.versions.items()), code, *hardware, *task.variables)
    return Task(
        job=job,
        key=make_key(
            (task.entry.environment, job.device, f"t{job.threads}", *unusual(job.precision)),
            decisive,
        ),
        entry=task.entry,
        python=task.python,
        versions=task.versions,
        adapter_checksum=checksum_of(engine),
        variables=task.variables,
        assignment=MeasureLimits(job=job, adapter=engine, package=package_of(engine)),
    )
