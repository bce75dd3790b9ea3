"""The proof of a backend: planned, run in a process of its own, and kept."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from backends.contract import Job, Mode
from backends.registry import adapter_of, entry, package_of
from bench.data import cache
from bench.data.dataset import Places
from bench.machine.host import Machine
from bench.records.key import checksum_of, make_key
from bench.records.proof import FORMAT, Proof, checks_checksum, write_proof
from bench.runner.environments import Environments
from bench.runner.process import run_worker
from bench.runner.task import Task, files_of
from bench.worker.clock import monotonic_seconds, utc
from bench.worker.lines import Proven
from bench.worker.proof.models import BEHAVIOUR, DROPOUT_PROBE, LONG, MODELS, NATIVE
from bench.worker.proof.prover import Assignment, Line, Settled
from specs.loading import find_workload
from specs.model import Workload

_BATCH_SIZE = 16  # small, as the reference takes its time
_IMAGES = (
    "mnist-5k"  # what every machine has, for models of its shape; others take synthetic images
)


def make_task(
    backend: str,
    mode: Mode,
    device: str,
    threads: int,
    environments: Environments,
    machine: Machine,
) -> Task:
    """A backend on a device as a task; its key changes with everything that a proof speaks of.

    Raises:
        InstallError: the backend is unknown, not installed, or has no native mode.
    """
    chosen = entry(backend)
    python, versions = environments.require(backend), environments.versions(chosen.environment)
    job = Job(
        workload=find_workload("softmax"),
        dataset=_IMAGES,
        mode=mode,
        backend=backend,
        device=device,
        threads=threads,
        seed=0,
        precision="float32",
        compiled=chosen.compiled and mode == "matched",
        deterministic=False,
        epochs=1,
        batch_size=_BATCH_SIZE,
        round=0,
    )
    adapter = adapter_of(backend, mode)
    checksum = checksum_of(adapter)
    decisive = (
        msgspec.json.encode(job),
        sorted(versions.items()),
        checksum,
        checks_checksum(),
        machine.name,
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


def plan(task: Task, places: Places) -> Assignment:
    """Every model and check."""
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
    return cache.materialise(own, workload.input, places).folder


def run_proof(
    task: Task,
    assignment: Assignment,
    folder: Path,
    machine: Machine,
    timeout: float,
    told: Callable[[int], None],
) -> Proof:
    """Make the proof in a process of its own, and write it to `folder`.

    Args:
        task: from `make_task`.
        assignment: from `plan`.
        folder: where proofs lie.
        machine: this one.
        timeout: seconds that one model may take.
        told: called with how many pieces are done.

    Raises:
        RunError: the folder cannot be written.
    """
    files, started, began = files_of(task, folder), utc(), monotonic_seconds()

    def advanced(lines: list[Line]) -> None:
        told(sum(isinstance(line, Proven) for line in lines))

    try:
        ended = run_worker(
            "bench.worker.proof.prover", task, assignment, files, machine, timeout, Line, advanced
        )
    finally:
        for path in (files.lines, files.log):
            path.unlink(missing_ok=True)
    lines, end = ended.lines, ended.end
    proof = Proof(
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
        wall_seconds=monotonic_seconds() - began,
        settings=next((line.settings for line in lines if isinstance(line, Settled)), {}),
        pieces=tuple(line for line in lines if isinstance(line, Proven)),
        planned=assignment.pieces,
    )
    write_proof(proof, folder)
    return proof
