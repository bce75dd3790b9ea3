"""A run for other programs: JSON Lines, a record per line; CSV, a row per epoch; or pytest-benchmark's JSON."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.report.comma_separated import comma_separated
from bench.report.frame import epochs_frame
from bench.report.page import records_of
from bench.report.pytest_benchmark import pytest_benchmark


def export(folder: Path, form: str) -> tuple[bytes, list[Path]]:
    """The newest record of every job of a run, as "jsonl", "csv" or "pytest-benchmark"; and damaged files, left out.

    Raises:
        RunError: there is no run or no record in it.
    """
    records, damaged = records_of(folder)
    if form == "csv":
        return comma_separated(epochs_frame(records)), damaged
    if form == "pytest-benchmark":
        return pytest_benchmark(records), damaged
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records), damaged
