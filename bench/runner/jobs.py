"""Makes the tasks of a run's jobs, and their records."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
from msgspec.structs import replace

from backends import registry
from backends.contract import Job, nodes_of
from backends.registry import adapter_of, package_of
from bench.data.dataset import DataSet
from bench.machine.disturbance import UNKNOWN
from bench.machine.host import Machine, gpu_kind, gpus_of, load_average
from bench.records.bounds import outside
from bench.records.job import DataUsed, Record
from bench.records.key import checksum_of, job_key
from bench.runner.cluster.slurm import other_nodes
from bench.runner.environments import Environments
from bench.runner.task import TrainingTask, WorkerResult, outcome_fields
from bench.worker.assignment import Train
from bench.worker.lines import (
    Epoch,
    Inputs,
    JobVerification,
    PeakMemory,
    ShortEpochs,
    Startup,
    Trained,
)

# The values in a record without measurements.
_NO_MEASUREMENTS: dict[str, Any] = {
    "epochs": (),
    **dict.fromkeys(
        (
            *("cpu_seconds", "startup", "inputs", "weights_checksum", "verification"),
            *("short_epochs", "device_memory", "device_peak_bytes", "device_peak_by", "gpu"),
        )
    ),
}


def make_tasks(
    jobs: Sequence[tuple[Job, DataSet]],
    environments: Environments,
    machine: Machine,
    train_evaluated: int,
) -> list[TrainingTask]:
    """A task per job.

    Args:
        jobs: each job with its data set.
        environments: the interpreters of the backends.
        machine: the machine that the jobs run on.
        train_evaluated: the most training examples that are evaluated after an epoch.

    Raises:
        InstallError: a backend is unknown or not installed.
    """
    tasks = []
    for job, data in jobs:
        entry = registry.entry(job.backend)
        python, framework_python = environments.of_worker(job.backend)
        versions = environments.versions(entry.environment)
        evaluated = min(train_evaluated, data.train_examples)
        adapter = adapter_of(job.backend, job.mode, job.ranks, nodes_of(job.device))
        code = checksum_of("bench.worker.main", "bench.worker.training", adapter)
        hardware = (machine.name, gpu_kind(machine, job.device), *other_nodes(job.device))
        given = environments.variables
        decisive = (data.checksum, sorted(versions.items()), code, *hardware, evaluated, *given)
        tasks.append(
            TrainingTask(
                job=job,
                data=data,
                key=job_key(job, *decisive),
                entry=entry,
                python=str(python),
                versions=versions,
                adapter_checksum=checksum_of(adapter),
                variables=given,
                assignment=Train(
                    job=job,
                    adapter=adapter,
                    package=package_of(adapter),
                    framework_python=framework_python,
                    data=data.folder,
                    train_evaluated=evaluated,
                    gpus=tuple(gpu.uuid for gpu in gpus_of(machine, job.device)),
                    references=str(Path(data.folder).parents[1] / "references"),
                ),
            )
        )
    return tasks


def data_used(data: DataSet) -> DataUsed:
    """The fields about a data set in a record."""
    return DataUsed(
        name=data.name,
        checksum=data.checksum,
        train_examples=data.train_examples,
        test_examples=data.test_examples,
    )


def without_result(
    job: Job,
    data: DataUsed,
    machine: Machine,
    key: str,
    *,
    started: str,
    versions: dict[str, str] | None = None,
    adapter_checksum: str = "",
    variables: tuple[str, ...] = (),
) -> Record:
    """The record of a job whose worker wrote nothing: its status is "killed", without a reason."""
    return Record(
        format=Record.FORMAT,
        key=key,
        status="killed",
        reason="",
        details="",
        machine=machine,
        versions=versions or {},
        adapter_checksum=adapter_checksum,
        started=started,
        wall_seconds=0.0,
        variables=variables,
        job=job,
        data=data,
        load_average=None,
        disturbance=UNKNOWN,
        **_NO_MEASUREMENTS,
    )


def make_record(task: TrainingTask, machine: Machine, result: WorkerResult) -> Record:
    """The record of a job whose worker has ended.

    If the worker reported impossible values, the job has failed, and has no measurements.
    """
    peak, trained, inputs = result.peak, result.first(Trained), result.first(Inputs)
    memory = [line.peak for line in result.lines if isinstance(line, PeakMemory)]
    record = Record(
        **outcome_fields(task, result, Record),
        machine=machine,
        job=task.job,
        data=data_used(task.data),
        cpu_seconds=result.end.cpu_seconds,
        load_average=load_average(),
        disturbance=result.disturbance,
        startup=result.first(Startup),
        epochs=tuple(line for line in result.lines if isinstance(line, Epoch)),
        inputs=inputs.phase if inputs else None,
        device_memory=memory[-1] if memory else None,
        device_peak_bytes=peak.peak_bytes if peak else None,
        device_peak_by=peak.by if peak else None,
        gpu=result.gpu,
        weights_checksum=trained.weights_checksum if trained else None,
        verification=result.first(JobVerification),
        short_epochs=result.first(ShortEpochs),
    )
    problem = outside(msgspec.json.encode(record), Record)
    if not problem:
        return record
    reason = f"the worker reported an impossible value: {problem}"
    return replace(record, status="failed", reason=reason, **_NO_MEASUREMENTS)
