"""Does one assignment in one process; `bench.worker.start` calls it: ASSIGNMENT LINES MARK.

ASSIGNMENT is a file with an `Assignment` in JSON, LINES is the file that the lines are appended to,
and MARK is in each of them, see `bench.worker.lines.encode_line`.
"""

from __future__ import annotations

import importlib
from pathlib import Path

import msgspec

from bench.worker.assignment import Assignment
from bench.worker.tell import work_and_tell

# The assignment's tag -> the module whose `work` does it. The module is imported by name, so that
# the key of a job does not depend on the checks of `bench verify`, see `bench.records.key`.
MODULES = {
    "train": "bench.worker.training",
    "verify": "bench.worker.verification.verifier",
    "limits": "bench.worker.limits",
    "read exported": "bench.worker.verification.exported",
}


def main(assignment_path: str, lines_path: str, mark: str) -> None:
    """Do the assignment and write its lines; the last one is an `End`, unless the process dies."""
    assignment = msgspec.json.decode(Path(assignment_path).read_bytes(), type=Assignment)
    module = MODULES[str(assignment.__struct_config__.tag)]
    work_and_tell(
        Path(lines_path), mark, lambda tell: importlib.import_module(module).work(assignment, tell)
    )
