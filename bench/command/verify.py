"""`bench verify`: verifies every backend, each in its own process, and shows the result."""

from __future__ import annotations

import argparse
import os

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from backends.registry import entry
from bench.command.choices import (
    choose_backends,
    choose_devices,
    choose_threads,
    places_of,
    say_without_native,
)
from bench.machine.host import this_machine
from bench.records.job import backend_name
from bench.records.run import claim
from bench.records.verification import FOLDER, say
from bench.report.terminal.verifications import print_verifications
from bench.runner.environments import Environments
from bench.runner.verification import make_task, plan, run_verification
from specs.errors import UserError


def verify(options: argparse.Namespace) -> int:
    """`bench verify`: run the verification of every backend on every device, and keep its record.

    1 if one is not verified.
    """
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
        raise UserError(
            "none of these backends has a native mode", hint="bench defaults says which and why"
        )
    verifications, folder = [], options.results / FOLDER
    with claim(folder, machine.name), _progress(console) as progress:
        row = progress.add_task("")
        for number, task in enumerate(tasks, start=1):
            assignment = plan(task, places)
            place, who = f"{number}/{len(tasks)}", f"{backend_name(task.job)} {task.job.device}"
            progress.reset(row, total=assignment.pieces, description=f"{place} {who}")
            made = run_verification(
                task,
                assignment,
                folder,
                machine,
                options.timeout,
                lambda done: progress.update(row, completed=done),
            )
            console.print(f"[{place}] {who}: {say(made)}", markup=False)
            verifications.append(made)
    print_verifications(verifications, Console())
    return 0 if all(made.verdict == "verified" for made in verifications) else 1


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
