"""A run for other programs: JSON Lines, a whole record per line, or CSV, a row per epoch."""

from __future__ import annotations

from pathlib import Path

import msgspec

from bench.report.frame import epochs_frame
from bench.report.page import records_of


def export(folder: Path, form: str) -> bytes:
    """The newest record of every job of a run, as "jsonl" or "csv".

    Raises:
        RunError: there is no run or no record in it.
    """
    records, _ = records_of(folder)
    if form == "csv":
        return epochs_frame(records).to_csv(index=False).encode()
    return b"".join(msgspec.json.encode(record) + b"\n" for record in records)
