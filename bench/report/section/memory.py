"""Writes the device's cells of the memory table, and the notes that explain its figures.

Every figure is named for the instrument that measured it.
"""

from __future__ import annotations

from typing import Any

import pandas as pd

from bench.report.form import words
from bench.report.form.document import Items

_PROCESS = (
    "Peaks loading, training and predicting: of the process, the kernel's high-water mark"
    " (`VmHWM`), reset before each phase."
)
_ALLOCATOR = (
    "Device, allocator: the framework's own peak, of an epoch's training alone (the largest)."
)
_FROM_START = (
    "`from the start`: this framework's peak cannot be reset. It is read before the first"
    " prediction, and holds the loading and the first epoch's training."
)
_DRIVER = (
    "Device, driver: what the NVIDIA driver says that the job's processes hold, the highest of a"
    " look every 0.5 s."
)
_WHOLE = (
    "`whole GPU`: the driver does not say whose memory is whose, as in a container. It is how much"
    " more of the GPU was in use than when the job began, by whomever."
)


def allocator_peak(row: dict[str, Any]) -> str:
    """The cell with the allocator's peak, for a row of the summary."""
    text = words.gigabytes(row["allocator_peak_bytes"])
    plain = text == words.ABSENT or row["allocator_began_anew"]
    return text if plain else f"{text}, from the start"


def device_peak(row: dict[str, Any]) -> str:
    """The cell with the driver's peak, for a row of the summary."""
    text = words.gigabytes(row["device_peak_bytes"])
    plain = text == words.ABSENT or row["device_peak_by"] == "process"
    return text if plain else f"{text}, whole GPU"


def memory_notes(summary: pd.DataFrame) -> Items:
    """An explanation of each kind of figure that the table has."""
    allocator = summary["allocator_peak_bytes"].notna()
    driver = summary["device_peak_bytes"].notna()
    whole = driver & (summary["device_peak_by"] == "device")
    notes = (
        (summary["train_peak_rss_bytes"].notna().any(), _PROCESS),
        (allocator.any(), _ALLOCATOR),
        ((allocator & ~summary["allocator_began_anew"].astype(bool)).any(), _FROM_START),
        ((driver & ~whole).any(), _DRIVER),
        (whole.any(), _WHOLE),
    )
    return Items(tuple(text for there, text in notes if there))
