"""Workers that misbehave: they print without end, tell nonsense, die, hang, or leave helpers.

Every end is a record of sane size, the parent keeps below 200 MB, and nothing is left.
"""

from __future__ import annotations

import time
from pathlib import Path

from tests.torture.calls import call
from tests.torture.campaign import Fault, Tried, faults_of
from tests.torture.oracles import whole_files
from tests.torture.processes import (
    PARENT_BYTES,
    Running,
    describe,
    no_orphans,
    records,
    torture_arguments,
    undisturbed,
)

_GIGABYTE = 10**9
# What a worker does -> the statuses that its record may have.
_KINDS = {
    "prints_lines:200000000": {"ok"},
    f"prints_lines:{_GIGABYTE}": {"ok"},
    f"prints_one_line:{_GIGABYTE}": {"ok"},
    f"prints_and_dies:{_GIGABYTE}": {"failed"},
    "prints_escapes": {"failed"},
    "tells_garbage": {"ok", "failed"},
    "tells_bad_lines": {"ok", "failed"},
    "tells_ok_without_epochs": {"failed"},
    "tells_ok_too_early": {"failed"},
    "tells_epochs_again": {"failed"},
    "tells_much:200000000": {"ok", "failed"},
    "tells_one_long_line:200000000": {"ok", "failed"},
    # The bench holds the file open.
    "removes_lines": {"ok", "failed"},
    "links_lines": {"ok", "failed"},
    "ends_without_end": {"failed"},
    "dies_by:9": {"killed"},
    "dies_by:11": {"killed"},
    "dies_by:40": {"killed"},
    "loses_a_number": {"diverged"},
    "loses_its_weights": {"diverged"},
    "raises_much:100000000": {"failed"},
    "recurses": {"failed"},
    "takes_memory": {"out of memory"},
    "leaves_helpers": {"ok"},
    "hangs": {"timeout"},
    "ignores_signals": {"timeout"},
    "stops": {"timeout"},
}
_NAMES = [*_KINDS]

GOAL, UNIT = 2 * len(_NAMES), "misbehaving workers"
SLICE = tuple(
    _NAMES.index(name) for name in ("prints_lines:200000000", "tells_bad_lines", "leaves_helpers")
)
_LARGEST_RECORD = 10**6
_TIMEOUT = "4"  # seconds without progress


def attempt(seed: int, folder: Path) -> Tried:
    """One job whose worker does one of these."""
    how, run = _NAMES[seed % len(_NAMES)], folder / "run"
    arguments = torture_arguments(run, how, "--seeds", "0", "--timeout", _TIMEOUT)
    undisturbed()  # so that the data are there, and only the worker is slow
    with Running(arguments, folder) as running:
        ended = running.end(run=run)
        faults = [*ended.faults, *no_orphans([running.mark], time.monotonic())]
    if ended.code not in {0, 1}:
        faults.append(Fault("no proper end", describe(ended)))
    if ended.peak_bytes > PARENT_BYTES:
        faults.append(Fault("memory of the parent", f"{ended.peak_bytes / 1e6:.0f} MB"))
    faults += [*whole_files(run), *_one_record(run, _KINDS[how])]
    files = [path for path in run.rglob("*") if path.is_file()]
    large = [path for path in files if path.suffix == ".json" and _size(path) > _LARGEST_RECORD]
    faults += [Fault("size of a record", f"{path.name}: {_size(path):,} bytes") for path in large]
    again = call(["report", str(run)], folder, [run, folder / "verifications"])
    faults += again.faults
    return Tried(1, faults_of(how, faults), [how])


def _one_record(run: Path, statuses: set[str]) -> list[Fault]:
    """Every end of a job is a record, and says what happened."""
    found = [values["status"] for values in records(run).values()]
    if len(found) == 1 and found[0] in statuses:
        return []
    return [Fault("no proper record", f"{found} for one of {sorted(statuses)}")]


def _size(path: Path) -> int:
    return path.lstat().st_size
