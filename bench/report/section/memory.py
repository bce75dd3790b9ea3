"""Makes the table of peak memory, and the notes that explain its figures.

The column title of each figure says what measured it: the process, allocator or driver.
"""

from __future__ import annotations

from bench.report.form import words
from bench.report.form.blocks import Block, Columns, Folded, Items, table_of
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run

_PROCESS = (
    "Peaks loading, training and predicting: the largest resident memory of the process, with the"
    " data set (the kernel's `VmHWM`, reset before each phase)."
)
_ALLOCATOR = (
    "Device, allocator: the median peak of an epoch's training after the first epoch, by the"
    " framework's allocator."
)
_FIRST_EPOCH = (
    "`first epoch`: the peak of the first epoch, in which a framework also tries which algorithm"
    " is fastest."
)
_FROM_START = (
    "`from the start`: this framework cannot reset its peak. It is read before the first"
    " prediction, and includes loading and the first training epoch."
)
_DRIVER = (
    "Device, driver: the highest memory of the job's processes, read from the NVIDIA driver every"
    " 0.5 s."
)
_WHOLE = (
    "`whole GPU`: the driver does not show memory per process, e.g. in a container. The figure is"
    " the increase in used GPU memory since the job began, by all processes."
)


def section(run: Run) -> list[Block]:
    """A row per workload and backend with the maximum over jobs; nothing if no job ended ok."""
    if run.ok.empty:
        return []
    columns: Columns = {
        "workload": lambda row: row["label"],
        "backend": lambda row: row["backend"],
        "peak loading": lambda row: words.gigabytes(row["load_peak_rss_bytes"]),
        "peak training": lambda row: words.gigabytes(row["train_peak_rss_bytes"]),
        "peak predicting": lambda row: words.gigabytes(row["predict_peak_rss_bytes"]),
        "device, allocator": _allocator_peak,
        "device, driver": _device_peak,
    }
    table = table_of(rows_of(run.ok), columns)
    return [Folded("Peak memory by phase, and what is measured", [table, _notes(run)])]


def _allocator_peak(row: Row) -> str:
    text = words.gigabytes(row["allocator_peak_bytes"])
    if text != words.ABSENT and not row["allocator_was_reset"]:
        return f"{text}, from the start"
    first = words.gigabytes(row["first_epoch_allocator_bytes"])
    return text if first in (words.ABSENT, text) else f"{text} (first epoch {first})"


def _device_peak(row: Row) -> str:
    text = words.gigabytes(row["device_peak_bytes"])
    unmarked = text == words.ABSENT or row["device_peak_by"] == "process"
    return text if unmarked else f"{text}, whole GPU"


def _notes(run: Run) -> Items:
    """An explanation of each kind of figure in the table."""
    rows = run.ok
    allocator, driver = rows["allocator_peak_bytes"].notna(), rows["device_peak_bytes"].notna()
    whole = driver & (rows["device_peak_by"] == "device")
    notes = (
        (rows["train_peak_rss_bytes"].notna().any(), _PROCESS),
        (allocator.any(), _ALLOCATOR),
        (rows["first_epoch_allocator_bytes"].notna().any(), _FIRST_EPOCH),
        ((allocator & ~rows["allocator_was_reset"].astype(bool)).any(), _FROM_START),
        ((driver & ~whole).any(), _DRIVER),
        (whole.any(), _WHOLE),
    )
    return Items(tuple(text for applies, text in notes if applies))
