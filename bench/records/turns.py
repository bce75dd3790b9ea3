"""The record of turns: the backends of a group train in turns, and each turn is timed."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.machine.disturbance import Disturbance
from bench.records.stored import LeftOut, Stored, read
from bench.worker.lines import Turn

FOLDER = "turns"
# A waiting process that uses more of a core than this disturbs the turns of the others.
MOST_WAITING = 0.01
_LEAST_SHARE, _MOST_SHARE = 1e-9, 1e9  # the part of an epoch in a turn; times are divided by it


class Member(Struct, frozen=True, kw_only=True):
    """A backend's part of the turns.

    Attributes:
        job: the key of the record of its job.
        backend: its name.
        is_new: whether its process was started for the turns alone; else it trained the job.
        share: the part of an epoch that one turn trains; 2.0 are two epochs.
        turns: one per sweep, in order.
    """

    job: str
    backend: str
    is_new: bool
    share: float
    turns: tuple[Turn, ...]

    @property
    def epoch_seconds(self) -> NDArray[np.float64]:
        """The wall time of an epoch, computed from each turn: (sweeps,)."""
        return np.array([turn.wall_seconds for turn in self.turns]) / self.share

    @property
    def epoch_cpu_seconds(self) -> NDArray[np.float64]:
        """The CPU time of an epoch, computed from each turn: (sweeps,); NaN if unknown."""
        return np.array([turn.cpu_seconds for turn in self.turns], np.float64) / self.share

    @property
    def waiting(self) -> float:
        """The share of a core that the process used while it waited; 0 if that is unknown."""
        known = [turn for turn in self.turns if turn.waited_cpu_seconds is not None]
        waited = sum(turn.waited_seconds for turn in known)
        used = sum(turn.waited_cpu_seconds or 0.0 for turn in known)
        return used / waited if waited else 0.0


class Turns(Stored, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The turns of the backends of one group, in one round and of one seed.

    A sweep has one turn of each backend. A ratio divides two times of the same sweep.

    Attributes:
        key: made from the keys of the jobs.
        members: the backends; each has one turn per sweep.
        orders: for each sweep, the indices of the members in the order of their turns.
        refused: why these times are not used; "" if they are.
        disturbance: what else the machine did.
        started: the time in UTC.
        wall_seconds: of all turns, the first sweeps without measurements included.
    """

    FORMAT: ClassVar[int] = 1

    members: tuple[Member, ...]
    orders: tuple[tuple[int, ...], ...]
    refused: str
    disturbance: Disturbance | None
    started: str
    wall_seconds: float

    @property
    def contradiction(self) -> str:
        """What is wrong: a sweep lacks a turn, or a share is out of bounds; "" if nothing is."""
        every = list(range(len(self.members)))
        if any(sorted(order) != every for order in self.orders):
            return "orders: expected each member once in each sweep"
        if any(len(member.turns) != self.sweeps for member in self.members):
            return f"members: expected {self.sweeps} turns of each"
        if any(not _LEAST_SHARE <= member.share <= _MOST_SHARE for member in self.members):
            return f"members: expected shares from {_LEAST_SHARE:g} to {_MOST_SHARE:g}"
        return ""

    @property
    def sweeps(self) -> int:
        """The number of turns of each backend."""
        return len(self.orders)


def refusal(members: tuple[Member, ...]) -> str:
    """Why turns of these members are not used; "" if they are."""
    busy = [member for member in members if member.waiting > MOST_WAITING]
    return "; ".join(
        f"{member.backend} used {100 * member.waiting:.1f} % of a core while it waited"
        for member in busy
    )


def read_turns(folder: Path) -> tuple[list[Turns], list[LeftOut]]:
    """The turns of a run, sorted by key, and the files that are left out.

    Args:
        folder: the run's folder.
    """
    return read([folder / FOLDER], Turns)
