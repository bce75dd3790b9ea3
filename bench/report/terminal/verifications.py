"""Prints verifications as a table: a row per backend, a column per check."""

from __future__ import annotations

from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

from bench.records.job import backend_name, in_precision
from bench.records.key import unusual
from bench.records.verification import Verification, deviation_of, say
from bench.report.form import words
from bench.report.terminal.plain import plain_table
from bench.worker.verification.checks import CHECKS

# Check -> a short name that fits a terminal; the other names are short enough.
_SHORT = {
    "prediction": "logits",
    "extremes": "large",
    "repeat": "seed",
    "purity": "pure",
    "dropout": "drop",
}


def print_verifications(verifications: Sequence[Verification], console: Console) -> None:
    """Print a table of deviations, in units of their tolerances, per device and mode.

    Then print which backends are not verified, and why.
    """
    of_sizes = [verification for verification in verifications if verification.only_sizes]
    if of_sizes:
        console.print(_size_table(of_sizes))
    kinds = dict.fromkeys(_kind(v) for v in verifications if not v.only_sizes)
    for kind in kinds:
        title = ", ".join(kind) if len(kinds) > 1 else None
        of_kind = [v for v in verifications if _kind(v) == kind and not v.only_sizes]
        console.print(_table(of_kind, title))
    console.print(
        "Largest deviation from the float64 reference, in units of its tolerance; above 1 is a"
        " failure."
    )
    for verification in verifications:
        if verification.verdict != "verified":
            console.print(
                f"{backend_name(verification)} {verification.device}: {say(verification)}",
                soft_wrap=True,
            )
    verified = sum(verification.verdict == "verified" for verification in verifications)
    matched = all(verification.mode == "matched" for verification in verifications)
    end = "verified equal" if matched else "passed every check that applies"
    verdict = f"{verified} of {len(verifications)} {end} on {verifications[0].machine.name}"
    console.print(verdict, style="green" if verified == len(verifications) else "bold red")


def _kind(verification: Verification) -> tuple[str, ...]:
    """The device and the mode, and the precision if it is not float32."""
    return verification.device, verification.mode, *unusual(verification.precision)


def _table(verifications: Sequence[Verification], title: str | None) -> Table:
    checks = [
        check
        for check in CHECKS
        if any(deviation_of(verification, check) is not None for verification in verifications)
    ]
    table = plain_table(("backend", *(_SHORT.get(check, check) for check in checks)), ("backend",))
    table.title = title
    for verification in verifications:
        style = "" if verification.verdict == "verified" else "bold red"
        cells = (words.tolerances(deviation_of(verification, check)) for check in checks)
        name = in_precision(verification.backend, verification.precision)
        table.add_row(name, *cells, style=style)
    return table


def _size_table(verifications: Sequence[Verification]) -> Table:
    """The largest deviation of each workload and backend, a column per batch size."""
    worst: dict[tuple[str, str, str], dict[int, str]] = {}
    for verification in verifications:
        for piece in verification.pieces:
            workload, _, size = piece.model.rpartition(", batch ")
            text = words.tolerances(max((f.deviation for f in piece.findings), default=None))
            name = in_precision(verification.backend, verification.precision)
            row = (workload, name, verification.device)
            worst.setdefault(row, {})[int(size)] = text if not piece.failed else "failed"
    sizes = sorted({size for row in worst.values() for size in row})
    table = plain_table(("workload", "backend", *map(str, sizes)), ("workload", "backend"))
    for (workload, backend, device), by_size in worst.items():
        name = backend if device == "cpu" else f"{backend} {device}"
        table.add_row(workload, name, *(by_size.get(size, words.ABSENT) for size in sizes))
    return table
