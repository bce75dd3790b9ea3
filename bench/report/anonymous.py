"""Writes a copy of a run without names, for sending; see `bench.records.anonymous`."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from itertools import chain
from pathlib import Path

from bench.records import limits, noise, turns, verification
from bench.records.anonymous import Neutral
from bench.records.files import inside
from bench.records.stored import write
from bench.report.beside import what_applies
from bench.report.run import Run


def copy_anonymously(run: Run, folder: Path, private: Iterable[str]) -> None:
    """Write the records of a run, their verifications and calibrations, with neutral names.

    The run's command, logs, and what models have learned are not copied. Records of an earlier copy
    are removed from the folder.

    Args:
        run: the run.
        folder: the folder of the copy.
        private: names of users and machines, see `Neutral`.

    Raises:
        RunError: the folder cannot be written.
    """
    verifications, calibrations = what_applies(run)
    kinds = {
        "jobs": run.records,
        turns.FOLDER: run.turns,
        limits.FOLDER: run.limits,
        verification.FOLDER: verifications,
        noise.FOLDER: calibrations,
    }
    neutral = Neutral([*chain(*kinds.values())], private)
    for name, records in kinds.items():
        of_kind = inside(folder, name)
        with suppress(OSError):
            for path in of_kind.glob("*.json"):
                path.unlink()
        for record in records:
            write(of_kind, neutral.record(record))
