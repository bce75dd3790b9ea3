"""The record of a machine's timing noise: a backend compared with itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median
from typing import ClassVar

import numpy as np

from bench.records.stored import LeftOut, Stored, read

FOLDER = "noise"
_MOST_RATIO = 50.0  # the logarithm of the largest ratio of two plausible times


class Calibration(Stored, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backend compared with itself on one device of one machine.

    Attributes:
        key: the name of the file, made like a job's key but the same for all rounds.
        wall, cpu: for each round, the logarithm of the first job's time of steady epochs divided by
            the second job's, in wall time and in CPU time.
        turns: for each pair of fresh processes, the median over sweeps of the same logarithm for
            their turns (wall time). It shows how much two processes differ.
        disturbed: the number of rounds in which a job was disturbed; they are part of `wall` and
            `cpu`, too.
        ended: the start time of the last job.
        precision: of the products; float32 in older records.
    """

    FORMAT: ClassVar[int] = 1

    device: str
    threads: int
    backend: str
    workload: str
    dataset: str
    epochs: int
    batch_size: int
    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    disturbed: int
    ended: str
    turns: tuple[float, ...] = ()
    precision: str = "float32"

    @property
    def contradiction(self) -> str:
        """A ratio that no two times can have, as text; "" if there is none."""
        ratios = (*self.wall, *self.cpu, *self.turns)
        most = max(map(abs, ratios), default=0.0)
        return "" if most <= _MOST_RATIO else f"wall, cpu or turns: a ratio of exp({most:g})"

    @property
    def scatter(self) -> float:
        """The median difference between the two jobs of a round, as a share; NaN without rounds."""
        return float(np.expm1(median(map(abs, self.wall)))) if self.wall else float("nan")


def read_calibrations(folders: Iterable[Path]) -> tuple[list[Calibration], list[LeftOut]]:
    """The calibrations in some folders, and the files that are left out.

    If several have the same key, the one with the most rounds is returned.
    """
    records, left_out = read(folders, Calibration)
    longest: dict[str, Calibration] = {}
    for record in records:
        known = longest.get(record.key, record)
        longest[record.key] = max(record, known, key=lambda calibration: len(calibration.wall))
    return list(longest.values()), left_out
