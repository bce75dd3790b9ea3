"""Makes the task of verifying a backend, and its record."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import cache

import msgspec
from msgspec.structs import replace

from backends.contract import Job, Mode, Precision, nodes_of
from backends.registry import adapter_of, entry, package_of, refusal
from bench.data.cache import materialise
from bench.data.dataset import Places
from bench.machine.host import Machine, gpu_kind
from bench.records.key import checksum_of, make_key, unusual
from bench.records.verification import Verification, checks_checksum
from bench.runner.cluster.slurm import other_nodes
from bench.runner.environments import Environments
from bench.runner.task import Task, WorkerResult, outcome_fields
from bench.worker.assignment import Size, Verify
from bench.worker.lines import ModelFindings, Settings
from bench.worker.verification.models import (
    BEHAVIOUR,
    DENSE,
    DENSE_BEHAVIOUR,
    DROPOUT_PROBE,
    EVERY,
    KEPT,
    LONG,
    MODELS,
    NATIVE,
    PLAIN_BEHAVIOUR,
    SYNC,
)
from specs.loading import find_suite, find_workload
from specs.model import Input, Workload

_BATCH_SIZE = 16  # small, as the reference is slow
# Every machine has these images. Models with another input shape use synthetic images.
_IMAGES = "mnist-5k"


class VerificationTask(Task, frozen=True, kw_only=True):
    """A task of `bench verify`."""

    assignment: Verify


def make_task(
    backend: str,
    mode: Mode,
    device: str,
    threads: int,
    environments: Environments,
    machine: Machine,
    places: Places,
    sizes: Sequence[Size] | None = None,
    precision: Precision = "float32",
) -> VerificationTask:
    """The task of verifying a backend on a device, with all models and checks of the mode.

    Args:
        backend: the backend that is verified.
        mode: the mode in which it trains.
        device: the device on which it trains.
        threads: CPU threads.
        environments: the interpreters of the backends.
        machine: this machine.
        places: the folders of data sets.
        sizes: if given, only the first steps of these workloads are verified.
        precision: the precision of the products.

    Raises:
        InstallError: the backend is unknown, not installed, or has no native mode.
        DataError: the images of a model are not available.
    """
    (python, framework_python), chosen = environments.of_worker(backend), entry(backend)
    versions = environments.versions(chosen.environment)
    job = _job(backend, mode, device, threads, precision)
    adapter = adapter_of(backend, mode, job.ranks, nodes_of(device))
    code = checksum_of(adapter)
    decisive = (
        msgspec.json.encode(job),
        sorted(versions.items()),
        code,
        checks_checksum(),
        machine.name,
        gpu_kind(machine, device),
        *other_nodes(device),
        msgspec.json.encode(sizes),
        *environments.variables,
    )
    of_workloads = sorted({size.workload.name for size in sizes or ()})
    return VerificationTask(
        job=job,
        key=make_key((*of_workloads, backend, mode, device, *unusual(precision)), decisive),
        entry=chosen,
        python=str(python),
        versions=versions,
        adapter_checksum=code,
        variables=environments.variables,
        assignment=replace(
            _assignment(job, adapter, places, sizes), framework_python=framework_python
        ),
    )


def make_record(task: VerificationTask, machine: Machine, result: WorkerResult) -> Verification:
    """The record of a verification whose worker has ended."""
    settings = result.first(Settings)
    return Verification(
        **outcome_fields(task, result, Verification),
        machine=machine,
        backend=task.job.backend,
        mode=task.job.mode,
        device=task.job.device,
        threads=task.job.threads,
        precision=task.job.precision,
        checks_checksum=checks_checksum(),
        settings=settings.settings if settings else {},
        pieces=tuple(line for line in result.lines if isinstance(line, ModelFindings)),
        planned=task.assignment.pieces,
        only_sizes=bool(task.assignment.sizes) and not task.assignment.models,
    )


def _job(backend: str, mode: Mode, device: str, threads: int, precision: Precision) -> Job:
    """The job of a verification: its settings; each check uses a workload of its own."""
    return Job(
        workload=find_workload("softmax"),
        dataset=_IMAGES,
        mode=mode,
        backend=backend,
        device=device,
        threads=threads,
        seed=0,
        precision=precision,
        compiled=mode == "matched" and entry(backend).compiles_on(device),
        deterministic=False,
        epochs=1,
        batch_size=_BATCH_SIZE,
        round=0,
    )


def course_sizes() -> list[Size]:
    """The course's workloads at their own batch sizes."""
    workloads = (find_workload(part.workload) for part in find_suite("course").workloads)
    return [
        Size(workload=workload, batch_size=workload.recipe.batch_size) for workload in workloads
    ]


def models_of(backend: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The models for the checks of values, and the models for the checks of calls.

    If the framework does not support all models: the supported models, and dense ones.
    """
    models = _without_refused(backend, MODELS)
    if len(models) == len(MODELS):
        return models, BEHAVIOUR
    dense, behaviour = (_without_refused(backend, names) for names in (DENSE, DENSE_BEHAVIOUR))
    return (*models, *dense), behaviour or PLAIN_BEHAVIOUR


def _without_refused(backend: str, names: Iterable[str]) -> tuple[str, ...]:
    return tuple(name for name in names if not refusal(backend, {**EVERY, **LONG}[name]))


def _assignment(job: Job, adapter: str, places: Places, sizes: Sequence[Size] | None) -> Verify:
    """The assignment with all models and checks of the job's mode, or with some sizes only."""
    package, references = package_of(adapter), str(places.cache / "references")
    if sizes is not None:
        return Verify(
            job=job,
            adapter=adapter,
            package=package,
            sizes=tuple(sizes),
            folders={size.name: _folder(size.workload, places) for size in sizes},
            references=references,
        )
    if job.mode == "native":
        native = _without_refused(job.backend, NATIVE) or PLAIN_BEHAVIOUR
        return Verify(
            job=job,
            adapter=adapter,
            package=package,
            native=native,
            folders={name: _folder(EVERY[name], places) for name in native},
        )
    course = [size for size in course_sizes() if not refusal(job.backend, size.workload)]
    models, behaviour = models_of(job.backend)
    workloads = {**EVERY, **LONG, "dropout": DROPOUT_PROBE, "float32": KEPT}
    workloads |= {size.name: size.workload for size in course}
    return Verify(
        job=job,
        adapter=adapter,
        package=package,
        models=models,
        behaviour=behaviour,
        long=_without_refused(job.backend, LONG) if job.precision == "float32" else (),
        sync=next(name for name in SYNC if not refusal(job.backend, EVERY[name])),
        dropout=not refusal(job.backend, DROPOUT_PROBE),
        sizes=tuple(course),
        references=references,
        folders={name: _folder(workload, places) for name, workload in workloads.items()},
    )


def _folder(workload: Workload, places: Places) -> str:
    name = _IMAGES if workload.input.shape == (28, 28, 1) else "synthetic"
    return _folder_of(name, workload.input, places)


@cache  # twenty models share a few data sets
def _folder_of(name: str, shape: Input, places: Places) -> str:
    return materialise(name, shape, places).folder
