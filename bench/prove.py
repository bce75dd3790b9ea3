"""`bench prove`: every backend's proof, each in a process of its own, kept as a record and shown."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from backends.contract import Job, Mode
from bench import data
from bench.choices import choose_backends, choose_devices, choose_threads, say_without_native
from bench.commands import places_of
from bench.environments import Environments, adapter_of, entry
from bench.files import make_key
from bench.imported import checksum_of
from bench.machine import Machine, this_machine
from bench.measure import monotonic_seconds, utc
from bench.process import Task, files_of, run_worker
from bench.proof import FOLDER, FORMAT, Proof, checks_checksum, say, write_proof
from bench.proving import Assignment, Line, Proven, Settled
from bench.record import contestant
from bench.report.proofs import print_proofs
from bench.runs import claim
from bench.sources import Places
from specs.errors import UserError
from specs.loading import find_workload
from specs.model import Workload
from specs.proof import BEHAVIOUR, DROPOUT_PROBE, LONG, MODELS, NATIVE

_BATCH_SIZE = 16  # small, as the reference takes its time
_IMAGES = "mnist-5k"  # what every machine has, for models of its shape; others take synthetic images


def prove(options: argparse.Namespace) -> int:
    """`bench prove`: run the proof of every backend on every device, and keep it. 1 if one is not proven."""
    environments, places = Environments(dict(options.python)), places_of(options)
    machine = this_machine(os.environ.get("CUDA_VISIBLE_DEVICES"))
    threads, console = choose_threads(options.threads), Console(stderr=True)
    backends = choose_backends(options.backend, environments, tuned=options.tuned)
    say_without_native(backends, options.mode)
    tasks = [
        make_task(backend, mode, device, threads, environments, machine)
        for device in choose_devices(options.device, machine)
        for backend in backends
        for mode in options.mode
        if mode == "matched" or entry(backend).native
    ]
    if not tasks:
        raise UserError("none of these backends has a native mode", hint="bench contract says which and why")
    proofs, folder = [], options.results / FOLDER
    with claim(folder, machine.name), _progress(console) as progress:
        row = progress.add_task("")
        for number, task in enumerate(tasks, start=1):
            assignment = plan(task, places)
            place, who = f"{number}/{len(tasks)}", f"{contestant(task.job)} {task.job.device}"
            progress.reset(row, total=assignment.pieces, description=f"{place} {who}")
            made = run_proof(
                task,
                assignment,
                folder,
                machine,
                options.timeout,
                lambda done: progress.update(row, completed=done),
            )
            console.print(f"[{place}] {who}: {say(made)}", markup=False)
            proofs.append(made)
    print_proofs(proofs, Console())
    return 0 if all(made.verdict == "proven" for made in proofs) else 1


def make_task(
    backend: str, mode: Mode, device: str, threads: int, environments: Environments, machine: Machine
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
    decisive = (msgspec.json.encode(job), sorted(versions.items()), checksum, checks_checksum(), machine.name)
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
            native=NATIVE,
            folders={name: _folder(MODELS[name], places) for name in NATIVE},
        )
    workloads = {**MODELS, **LONG, "dropout": DROPOUT_PROBE}
    return Assignment(
        job=task.job,
        adapter=task.adapter,
        models=tuple(MODELS),
        behaviour=BEHAVIOUR,
        long=tuple(LONG),
        folders={name: _folder(workload, places) for name, workload in workloads.items()},
    )


def _folder(workload: Workload, places: Places) -> str:
    own = _IMAGES if workload.input.shape == (28, 28, 1) else "synthetic"
    return data.materialise(own, workload.input, places).folder


def run_proof(
    task: Task, assignment: Assignment, folder: Path, machine: Machine, timeout: float, told: Callable[[int], None]
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
        ended = run_worker("bench.proving", task, assignment, files, machine, timeout, Line, advanced)
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


def _progress(console: Console) -> Progress:
    return Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=16),
        MofNCompleteColumn(),
        TextColumn("models and checks"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        refresh_per_second=2,
        disable=not console.is_terminal,
    )
