"""A run for other programs: JSON Lines, a whole record per line, or CSV, a row per epoch."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.report.frame import epochs_frame
from bench.report.page import records_of


def export(folder: Path, form: str) -> tuple[bytes, list[Path]]:
    """The newest record of every job of a run, as "jsonl" or "csv"; and damaged record files, which are left out.

    Raises:
        RunError: there is no run or no record in it.
    """
    records, damaged = records_of(folder)
    if form == "csv":
        return epochs_frame(records).to_csv(index=False).encode(), damaged
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records), damaged
