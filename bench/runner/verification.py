"""Plans the verification of a backend, runs it in a process of its own, and writes its record."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import msgspec

from backends.contract import Job, Mode
from backends.registry import adapter_of, entry, package_of
from bench.data.cache import materialise
from bench.data.dataset import Places
from bench.machine.host import Machine, gpu_kind
from bench.records.key import checksum_of, make_key
from bench.records.verification import FORMAT, Verification, checks_checksum, write_verification
from bench.runner.environments import Environments
from bench.runner.process import run_worker
from bench.runner.task import Ended, Task, files_of
from bench.worker.clock import monotonic_seconds, utc
from bench.worker.lines import ModelFindings
from bench.worker.verification.models import BEHAVIOUR, DROPOUT_PROBE, LONG, MODELS, NATIVE
from bench.worker.verification.verifier import Assignment, Line, Settled
from specs.loading import find_workload
from specs.model import Input, Workload

_BATCH_SIZE = 16  # small, as the reference takes its time
# Every machine has these images. Models with another input shape take synthetic ones.
_IMAGES = "mnist-5k"


def make_task(
    backend: str,
    mode: Mode,
    device: str,
    threads: int,
    environments: Environments,
    machine: Machine,
) -> Task:
    """The task of verifying a backend on a device.

    Raises:
        InstallError: the backend is unknown, not installed, or has no native mode.
    """
    chosen = entry(backend)
    python, versions = environments.require(backend), environments.versions(chosen.environment)
    job = _job(backend, mode, device, threads)
    adapter = adapter_of(backend, mode)
    checksum = checksum_of(adapter)
    decisive = (
        msgspec.json.encode(job),
        sorted(versions.items()),
        checksum,
        checks_checksum(),
        machine.name,
        gpu_kind(machine, device),
    )
    return Task(
        job=job,
        key=make_key((backend, mode, device), decisive),
        entry=chosen,
        python=str(python),
        versions=versions,
        adapter=adapter,
        adapter_checksum=checksum,
    )


def _job(backend: str, mode: Mode, device: str, threads: int) -> Job:
    """The job whose conditions hold for the whole verification; the checks replace its workload."""
    return Job(
        workload=find_workload("softmax"),
        dataset=_IMAGES,
        mode=mode,
        backend=backend,
        device=device,
        threads=threads,
        seed=0,
        precision="float32",
        compiled=entry(backend).compiled and mode == "matched",
        deterministic=False,
        epochs=1,
        batch_size=_BATCH_SIZE,
        round=0,
    )


def plan(task: Task, places: Places) -> Assignment:
    """What a verification's worker is to do: every model and check of the task's mode."""
    if task.job.mode == "native":
        return Assignment(
            job=task.job,
            adapter=task.adapter,
            package=package_of(task.adapter),
            native=NATIVE,
            folders={name: _folder(MODELS[name], places) for name in NATIVE},
        )
    workloads = {**MODELS, **LONG, "dropout": DROPOUT_PROBE}
    return Assignment(
        job=task.job,
        adapter=task.adapter,
        package=package_of(task.adapter),
        models=tuple(MODELS),
        behaviour=BEHAVIOUR,
        long=tuple(LONG),
        folders={name: _folder(workload, places) for name, workload in workloads.items()},
    )


def _folder(workload: Workload, places: Places) -> str:
    own = _IMAGES if workload.input.shape == (28, 28, 1) else "synthetic"
    return _folder_of(own, workload.input, places)


@cache  # twenty models of a verification take the same few data sets
def _folder_of(name: str, shape: Input, places: Places) -> str:
    return materialise(name, shape, places).folder


def run_verification(
    task: Task,
    assignment: Assignment,
    folder: Path,
    machine: Machine,
    timeout: float,
    told: Callable[[int], None],
) -> Verification:
    """Make the verification in a process of its own, and write it to `folder`.

    Args:
        task: from `make_task`.
        assignment: from `plan`.
        folder: where verifications lie.
        machine: this one.
        timeout: seconds that one model may take.
        told: called with the number of pieces (models and checks) that are done.

    Raises:
        RunError: the folder cannot be written.
    """
    files, started, began = files_of(task, folder), utc(), monotonic_seconds()

    def advanced(lines: list[Line]) -> None:
        told(sum(isinstance(line, ModelFindings) for line in lines))

    try:
        ended = run_worker(
            "bench.worker.verification.verifier",
            task,
            assignment,
            files,
            machine,
            timeout,
            Line,
            advanced,
        )
    finally:
        for path in (files.lines, files.log):
            path.unlink(missing_ok=True)
    verification = _verification(
        task, assignment, machine, ended, started, monotonic_seconds() - began
    )
    write_verification(verification, folder)
    return verification


def _verification(
    task: Task, assignment: Assignment, machine: Machine, ended: Ended, started: str, seconds: float
) -> Verification:
    """The record of a verification whose worker has ended, `seconds` after it was started."""
    lines, end = ended.lines, ended.end
    return Verification(
        format=FORMAT,
        key=task.key,
        status=end.status,
        reason=end.reason,
        details=end.traceback,
        backend=task.job.backend,
        mode=task.job.mode,
        device=task.job.device,
        threads=task.job.threads,
        machine=machine,
        versions=task.versions,
        adapter_checksum=task.adapter_checksum,
        checks_checksum=checks_checksum(),
        started=started,
        wall_seconds=seconds,
        settings=next((line.settings for line in lines if isinstance(line, Settled)), {}),
        pieces=tuple(line for line in lines if isinstance(line, ModelFindings)),
        planned=assignment.pieces,
    )
