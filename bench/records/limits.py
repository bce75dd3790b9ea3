"""The record of what an engine reaches by itself on a device of a machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec
from msgspec import Struct

from backends.contract import Job
from backends.registry import BACKENDS
from bench.machine.host import Machine
from bench.records.files import RunError
from bench.records.key import Key
from bench.worker.lines import OperationName, Reached, Setting, Status

FORMAT = 1
FOLDER = "limits"


class EngineLimits(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What an engine reached, however its process ended: what is in `reached` was checked.

    Attributes:
        status, reason, details: see `bench.records.job.Record`.
        environment: the engine's, a key of `backends.registry.ENGINES`.
        value_bytes: of a number that it computes with; None where it did not come so far.
    """

    format: int
    key: Key
    status: Status
    reason: str
    details: str
    environment: str
    device: str
    threads: int
    precision: str
    machine: Machine
    versions: dict[str, str]
    started: str
    wall_seconds: float
    value_bytes: int | None
    settings: dict[str, Setting]
    reached: tuple[Reached, ...]

    def best(self, operation: OperationName, least: int = 0) -> Reached | None:
        """The highest rate of an operation's sizes with at least that much work, or of the largest; None: not measured.

        Args:
            operation: see `bench.worker.operations`.
            least: FLOP, or bytes read and written.
        """
        sizes = [found for found in self.reached if found.operation == operation]
        enough = [found for found in sizes if found.work >= least]
        return max(enough or sizes[-1:], key=lambda found: found.per_second, default=None)

    @property
    def call_seconds(self) -> float | None:
        """What calling an operation costs, whatever it does: the smallest sum's time; None: not measured."""
        return min(
            (found.seconds for found in self.reached if found.operation == "memory"), default=None
        )


def read_limits(folder: Path) -> list[EngineLimits]:
    """The limits of a run, oldest first; what is not a record of them, or not whole, is left out."""
    found = [
        record
        for path in sorted((folder / FOLDER).glob("[!.]*.json"))
        if (record := read_engine(path))
    ]
    return sorted(found, key=lambda record: record.started)


def limits_of(job: Job, machine: str, limits: Iterable[EngineLimits]) -> EngineLimits | None:
    """The newest limits of the engine that a job ran on."""
    entry = BACKENDS.get(job.backend)
    own = (entry and entry.environment, job.device, job.threads, job.precision, machine)
    of = [
        one
        for one in limits
        if own == (one.environment, one.device, one.threads, one.precision, one.machine.name)
    ]
    return of[-1] if of else None


def read_engine(path: Path) -> EngineLimits | None:
    try:
        return msgspec.json.decode(path.read_bytes(), type=EngineLimits)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read: {error.strerror}", expected="a readable record"
        ) from error
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
