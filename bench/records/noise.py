"""The record of a machine's timing noise: a backend compared with itself."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from statistics import median

import msgspec
import numpy as np
from msgspec import Struct

from bench.machine.host import Machine
from bench.records.files import write_atomically
from bench.records.key import Key

FORMAT = 1
FOLDER = "noise"


class Calibration(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A backend compared with itself on one device of one machine.

    Attributes:
        key: the name of the file; it is made as a job's key, and does not depend on the round.
        wall, cpu: of every round, the logarithm of the ratio of the steady epochs of its two jobs
            (the first job's divided by the second's), in wall time and in CPU time.
        disturbed: the number of rounds in which a job was disturbed; they are part of `wall` and
            `cpu`, too.
        ended: when the last job began.
    """

    format: int
    key: Key
    machine: Machine
    device: str
    threads: int
    backend: str
    workload: str
    dataset: str
    epochs: int
    batch_size: int
    versions: dict[str, str]
    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    disturbed: int
    ended: str

    @property
    def scatter(self) -> float:
        """The median difference of a round, as a share; NaN without a round."""
        return float(np.expm1(median(map(abs, self.wall)))) if self.wall else float("nan")


def write_calibration(found: Calibration, folder: Path) -> None:
    """Write `folder/KEY.json`, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    write_atomically(
        folder / f"{found.key}.json", msgspec.json.format(msgspec.json.encode(found), indent=1)
    )


def read_calibrations(folders: Iterable[Path]) -> list[Calibration]:
    """The calibrations in these folders; files that are no whole calibration are left out.

    Of several with the same key the one with the most rounds is returned.
    """
    found: dict[str, Calibration] = {}
    for path in (path for folder in folders for path in sorted(folder.glob("*.json"))):
        try:
            one = msgspec.json.decode(path.read_bytes(), type=Calibration)
        except (OSError, msgspec.DecodeError, UnicodeDecodeError):
            continue
        if one.format == FORMAT:
            found[one.key] = max(one, found.get(one.key, one), key=lambda each: len(each.wall))
    return list(found.values())
