"""The only module that reads the memory of a worker's process.

A value that cannot be read is None. Process memory is the kernel's `VmHWM`, which is reset for each
phase through `clear_refs` (proc(5)). `ru_maxrss` is not used: a child inherits its parent's peak,
which cannot be reset.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

_PROCESSES = Path("/proc")
_RESET_PEAK = "5"  # proc(5): "reset the peak resident set size"


def reset_peak(others: Sequence[int] | None = ()) -> bool:
    """Set the high-water mark to the currently resident memory.

    Args:
        others: the IDs of other processes whose marks are set, too; None if they are unknown.

    Returns:
        False if the kernel does not allow it.
    """
    if others is None:
        return False
    try:
        for process in ("self", *others):
            (_PROCESSES / str(process) / "clear_refs").write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def peak_rss_bytes(others: Sequence[int] | None = ()) -> int | None:
    """The high-water mark of resident memory since the last reset; None if it cannot be read.

    Args:
        others: the IDs of other processes; the result is the sum of all marks. None if they are
            unknown.
    """
    if others is None:
        return None
    marks = [_mark(str(process)) for process in ("self", *others)]
    return None if None in marks else sum(mark for mark in marks if mark is not None)


def _mark(process: str) -> int | None:
    """The high-water mark of one process, in bytes."""
    try:
        status = (_PROCESSES / process / "status").read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024  # the kernel says kB and means KiB
    return None
