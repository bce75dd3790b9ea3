"""Prints proofs as a table: a row per backend, a column per check."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.records.job import contestant
from bench.records.proof import Proof, deviation_of, say
from bench.report.form import words
from bench.worker.proof.checks import CHECKS

# Short names of checks that fit a terminal; the other names are short enough.
_SHORT = {
    "prediction": "logits",
    "extremes": "large",
    "repeat": "seed",
    "purity": "pure",
    "dropout": "drop",
}


def print_proofs(proofs: Sequence[Proof], console: Console) -> None:
    """Print a table of deviations, in units of their tolerances, per device and mode.

    Below it: which backends are not proven, and why.
    """
    kinds = list(dict.fromkeys((made.device, made.mode) for made in proofs))
    for kind in kinds:
        title = f"{kind[0]}, {kind[1]}" if len(kinds) > 1 else None
        console.print(_table([made for made in proofs if (made.device, made.mode) == kind], title))
    console.print(
        "Largest deviation from the float64 reference, in units of its tolerance; above 1 is a"
        " failure."
    )
    for made in proofs:
        if made.verdict != "proven":
            console.print(
                f"{contestant(made)} {made.device}: {say(made)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    equal = sum(made.verdict == "proven" for made in proofs)
    what = (
        "proven equal"
        if all(made.mode == "matched" for made in proofs)
        else "passed every check that applies"
    )
    verdict = f"{equal} of {len(proofs)} {what} on {proofs[0].machine.name}"
    console.print(verdict, style="green" if equal == len(proofs) else "bold red", highlight=False)


def _table(proofs: Sequence[Proof], title: str | None) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=0, show_edge=False, title=title, title_justify="left"
    )
    table.add_column("backend", no_wrap=True)
    checks = [
        check for check in CHECKS if any(deviation_of(made, check) is not None for made in proofs)
    ]
    for check in checks:
        table.add_column(_SHORT.get(check, check), justify="right", no_wrap=True)
    for made in proofs:
        style = "" if made.verdict == "proven" else "bold red"
        cells = (words.tolerances(deviation_of(made, check)) for check in checks)
        table.add_row(escape(made.backend), *cells, style=style)
    return table
