"""Exports a run for other programs.

The formats are JSON Lines (a record per line), CSV (a row per epoch) and pytest-benchmark's JSON.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import msgspec

from bench.records.stored import LeftOut
from bench.report.export.pytest_benchmark import pytest_benchmark
from bench.report.form.csv import comma_separated
from bench.report.frame.doubts import headline
from bench.report.run import Run


def export(folder: Path, form: str) -> tuple[bytes, list[LeftOut], str]:
    """The newest record of every job of a run, as "jsonl", "csv" or "pytest-benchmark".

    Returns the content, the files that are left out, and a sentence that says which
    results disagree ("" if none does). JSON Lines hold these results unchanged; CSV marks them;
    pytest-benchmark's format leaves them out.

    Raises:
        RunError: there is no run or no record in the folder.
    """
    run = Run.read(folder)
    forms: dict[str, Callable[[], bytes]] = {
        "csv": lambda: comma_separated(run.epochs),
        "pytest-benchmark": lambda: pytest_benchmark(run),
        "jsonl": lambda: b"".join(msgspec.json.encode(record) + b"\n" for record in run.records),
    }
    return forms[form](), list(run.left_out), headline(run.jobs)
