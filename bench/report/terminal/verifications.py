"""Prints verifications as a table: a row per backend, a column per check."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.records.job import backend_name
from bench.records.verification import Verification, deviation_of, say
from bench.report.form import words
from bench.worker.verification.checks import CHECKS

# Short names of checks that fit a terminal; the other names are short enough.
_SHORT = {
    "prediction": "logits",
    "extremes": "large",
    "repeat": "seed",
    "purity": "pure",
    "dropout": "drop",
}


def print_verifications(verifications: Sequence[Verification], console: Console) -> None:
    """Print a table of deviations, in units of their tolerances, per device and mode.

    Below it: which backends are not verified, and why.
    """
    kinds = list(
        dict.fromkeys((verification.device, verification.mode) for verification in verifications)
    )
    for kind in kinds:
        title = f"{kind[0]}, {kind[1]}" if len(kinds) > 1 else None
        console.print(
            _table(
                [
                    verification
                    for verification in verifications
                    if (verification.device, verification.mode) == kind
                ],
                title,
            )
        )
    console.print(
        "Largest deviation from the float64 reference, in units of its tolerance; above 1 is a"
        " failure."
    )
    for verification in verifications:
        if verification.verdict != "verified":
            console.print(
                f"{backend_name(verification)} {verification.device}: {say(verification)}",
                markup=False,
                highlight=False,
                soft_wrap=True,
            )
    equal = sum(verification.verdict == "verified" for verification in verifications)
    matched = all(verification.mode == "matched" for verification in verifications)
    end = "verified equal" if matched else "passed every check that applies"
    verdict = f"{equal} of {len(verifications)} {end} on {verifications[0].machine.name}"
    console.print(
        verdict, style="green" if equal == len(verifications) else "bold red", highlight=False
    )


def _table(verifications: Sequence[Verification], title: str | None) -> Table:
    table = Table(
        box=box.SIMPLE_HEAD, padding=0, show_edge=False, title=title, title_justify="left"
    )
    table.add_column("backend", no_wrap=True)
    checks = [
        check
        for check in CHECKS
        if any(deviation_of(verification, check) is not None for verification in verifications)
    ]
    for check in checks:
        table.add_column(_SHORT.get(check, check), justify="right", no_wrap=True)
    for verification in verifications:
        style = "" if verification.verdict == "verified" else "bold red"
        cells = (words.tolerances(deviation_of(verification, check)) for check in checks)
        table.add_row(escape(verification.backend), *cells, style=style)
    return table
