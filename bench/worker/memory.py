"""The only module that reads the memory of a worker's process.

A value that cannot be read is None. Process memory is the kernel's `VmHWM`, which is reset for each
phase through `clear_refs` (proc(5)). `ru_maxrss` is not used: a child inherits its parent's peak,
and it cannot be reset.
"""

from __future__ import annotations

from pathlib import Path

_STATUS = Path("/proc/self/status")
_CLEAR_REFS = Path("/proc/self/clear_refs")
_RESET_PEAK = "5"  # proc(5): "reset the peak resident set size"


def reset_peak() -> bool:
    """Set the high-water mark to the currently resident memory.

    Returns:
        False if the kernel does not allow it.
    """
    try:
        _CLEAR_REFS.write_text(_RESET_PEAK, encoding="ascii")
    except OSError:
        return False
    return True


def peak_rss_bytes() -> int | None:
    """The high-water mark of resident memory since the last reset; None if it cannot be read."""
    try:
        status = _STATUS.read_text(encoding="ascii", errors="replace")
    except OSError:
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024  # the kernel says kB and means KiB
    return None
