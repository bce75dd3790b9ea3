"""Exports a run for other programs.

The formats are JSON Lines (a record per line), CSV (a row per epoch), the JSON of pytest-benchmark
and Bencher, and LaTeX (the tables of accuracies and of the main figures).
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.records.stored import LeftOut
from bench.report.export.bencher import bencher
from bench.report.export.pytest_benchmark import pytest_benchmark
from bench.report.form.csv import comma_separated
from bench.report.form.latex import latex_table
from bench.report.form.visible import visible
from bench.report.frame.doubts import headline
from bench.report.frame.places import short_headings
from bench.report.run import Run
from bench.report.section.figures import main_figures
from bench.report.section.glance import accuracy_overview
from bench.report.section.opening import meanings


def export(folder: Path, form: str) -> tuple[bytes, list[LeftOut], str]:
    """The newest record of every job of a run, in the format "jsonl", "csv", "latex", "bencher" ...

    Returns the content, the files that are left out, and a sentence on the results that disagree
    ("" if none does). JSON Lines contain these results unchanged, CSV and LaTeX mark them, and the
    other formats leave them out.

    Raises:
        RunError: there is no run or no record in the folder.
    """
    run = Run.read(folder)
    forms: dict[str, Callable[[], bytes]] = {
        "bencher": lambda: bencher(run),
        "csv": lambda: comma_separated(run.epochs),
        "latex": lambda: _latex(run).encode(),
        "pytest-benchmark": lambda: pytest_benchmark(run),
        "jsonl": lambda: b"".join(msgspec.json.encode(record) + b"\n" for record in run.records),
    }
    return forms[form](), list(run.left_out), headline(run.jobs)


def _latex(run: Run) -> str:
    """The tables of accuracies, one per place, and the table of the main figures."""
    notes = ["made by framework-bench; needs \\usepackage{booktabs}", *meanings(run)]
    parts = [f"% {visible(note)}" for note in notes]
    for place, name in zip(run.places, short_headings(run.summary), strict=True):
        parts += [f"% {visible(name)}"] if name else []
        parts.append(latex_table(accuracy_overview(place.summary)))
    return "\n".join([*parts, latex_table(main_figures(run))])
