"""`bench prove`: is every backend on this machine equal to the reference? A row per backend, a column per check."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table

from bench import proof
from bench.choices import choose_backends, choose_devices, choose_threads
from bench.commands import places_of
from bench.environments import Environments, entry
from bench.machine import this_machine
from bench.proof import Proof, deviation_of, say
from bench.record import claim, contestant
from bench.report import words
from specs.errors import UserError

# The checks in the order of a reader's questions, as columns of a terminal have room for them.
_COLUMNS = {
    "prediction": "logits",
    "steps": "steps",
    "epoch": "epoch",
    "long": "long",
    "calls": "calls",
    "order": "order",
    "extremes": "large",
    "repeat": "seed",
    "purity": "pure",
    "sync": "sync",
    "dropout": "drop",
}


def prove(options: argparse.Namespace) -> int:
    """`bench prove`: run the proof of every backend on every device, and keep it. 1 if one is not proven."""
    environments, places = Environments(dict(options.python)), places_of(options)
    machine = this_machine(os.environ.get("CUDA_VISIBLE_DEVICES"))
    threads, console = choose_threads(options.threads), Console(stderr=True)
    tasks = [
        proof.make_task(backend, mode, device, threads, environments, machine)
        for device in choose_devices(options.device, machine)
        for backend in choose_backends(options.backend, environments)
        for mode in options.mode
        if mode == "matched" or entry(backend).native
    ]
    if not tasks:
        raise UserError("none of these backends has a native mode", hint="bench contract says which and why")
    proofs, folder = [], options.results / proof.FOLDER
    with claim(folder, machine.name), _progress(console) as progress:
        row = progress.add_task("")
        for number, task in enumerate(tasks, start=1):
            assignment = proof.plan(task, places)
            title = f"{number}/{len(tasks)} {contestant(task.job)} {task.job.device}"
            progress.reset(row, total=assignment.pieces, description=title)
            made = proof.prove(
                task,
                assignment,
                folder,
                machine,
                options.timeout,
                lambda done: progress.update(row, completed=done),
            )
            console.print(f"[{number}/{len(tasks)}] {title.partition(' ')[2]}: {say(made)}", markup=False)
            proofs.append(made)
    print_proofs(proofs, Console())
    return 0 if all(made.verdict == "proven" for made in proofs) else 1


def print_proofs(proofs: Sequence[Proof], console: Console) -> None:
    """A table of deviations, in units of their tolerances, per device and mode; then what is not proven, and why."""
    kinds = list(dict.fromkeys((made.device, made.mode) for made in proofs))
    for kind in kinds:
        title = f"{kind[0]}, {kind[1]}" if len(kinds) > 1 else None
        console.print(_table([made for made in proofs if (made.device, made.mode) == kind], title))
    console.print("Largest deviation from the float64 reference, in units of its tolerance; above 1 is a failure.")
    for made in proofs:
        if made.verdict != "proven":
            console.print(f"{_name(made)} {made.device}: {say(made)}", markup=False, highlight=False, soft_wrap=True)
    equal = sum(made.verdict == "proven" for made in proofs)
    what = "proven equal" if all(made.mode == "matched" for made in proofs) else "passed every check that applies"
    verdict = f"{equal} of {len(proofs)} {what} on {proofs[0].machine.name}"
    console.print(verdict, style="green" if equal == len(proofs) else "bold red", highlight=False)


def _table(proofs: Sequence[Proof], title: str | None) -> Table:
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, title=title, title_justify="left")
    table.add_column("backend", no_wrap=True)
    checks = [check for check in _COLUMNS if any(deviation_of(made, check) is not None for made in proofs)]
    for check in checks:
        table.add_column(_COLUMNS[check], justify="right", no_wrap=True)
    for made in proofs:
        style = "" if made.verdict == "proven" else "bold red"
        cells = (words.tolerances(deviation_of(made, check)) for check in checks)
        table.add_row(escape(made.backend), *cells, style=style)
    return table


def _name(made: Proof) -> str:
    return made.backend if made.mode == "matched" else f"{made.backend}, {made.mode}"


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
