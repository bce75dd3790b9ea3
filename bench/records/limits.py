"""The record of an engine's limits: the rates that it reaches on a device of a machine."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import ClassVar

from backends.contract import Job
from backends.registry import BACKENDS
from bench.machine.host import Machine, gpu_kind
from bench.records.stored import LeftOut, Outcome, read
from bench.worker.lines import OperationName, Reached, SettingValue

FOLDER = "limits"


class EngineLimits(Outcome, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The limits of an engine, whatever the outcome of its process.

    Attributes:
        environment: the engine's environment, a key of `backends.registry.ENGINES`.
        value_bytes: the size of a number in its computations; None if the process ended before it
            reported the size.
        reached: the rates; the result of each was checked.
    """

    FORMAT: ClassVar[int] = 2

    environment: str
    device: str
    threads: int
    precision: str
    value_bytes: int | None
    settings: dict[str, SettingValue]
    reached: tuple[Reached, ...]

    @property
    def contradiction(self) -> str:
        """What is 0 and must not be: an operation's work, or `value_bytes`; "" if nothing is."""
        if self.value_bytes == 0:
            return "value_bytes: 0"
        for name in {rate.operation for rate in self.reached}:
            work = [rate.work for rate in self.reached if rate.operation == name]
            # The smallest "memory" operation measures the overhead of a call, and may have no work.
            if not (any(work) if name == "memory" else all(work)):
                return f"reached: {name} without work"
        return ""

    def best(self, operation: OperationName, least: int = 0) -> Reached | None:
        """The highest rate of an operation among its sizes with at least `least` work.

        If no size has that much work, the rate of the largest size; None if the operation was not
        measured. For "memory" it is an upper bound: arrays of some MB may stay in a cache. A single
        size would not be better, as on a GPU a small sum measures its launch.

        Args:
            operation: see `bench.worker.operations`.
            least: FLOP; for "memory" bytes read and written.
        """
        sizes = [rate for rate in self.reached if rate.operation == operation]
        enough = [rate for rate in sizes if rate.work >= least]
        return max(enough or sizes[-1:], key=lambda rate: rate.per_second, default=None)

    def largest(self, operation: OperationName) -> Reached | None:
        """The rate of the largest size of an operation; None if it was not measured."""
        return next((rate for rate in reversed(self.reached) if rate.operation == operation), None)

    @property
    def call_seconds(self) -> float | None:
        """The seconds that a call of any operation costs; None if they were not measured.

        This is the time of the smallest "memory" operation.
        """
        return min(
            (rate.seconds for rate in self.reached if rate.operation == "memory"), default=None
        )


def read_limits(folder: Path) -> tuple[list[EngineLimits], list[LeftOut]]:
    """The limits that were measured in a run, oldest first, and the files that are left out."""
    records, left_out = read([folder / FOLDER], EngineLimits)
    return sorted(records, key=lambda record: record.started), left_out


def limits_of(
    job: Job,
    machine: Machine,
    limits: Iterable[EngineLimits],
    variables: tuple[str, ...] = (),
) -> EngineLimits | None:
    """The newest limits of a job's engine; None if there are none.

    Their machine, device, threads, precision, variables and kind of GPU are those of the job.
    """
    entry = BACKENDS.get(job.backend)
    settings = (entry and entry.environment, job.device, job.threads, job.precision, variables)
    place = (machine.name, gpu_kind(machine, job.device))
    matching = [
        rates
        for rates in limits
        if settings
        == (rates.environment, rates.device, rates.threads, rates.precision, rates.variables)
        and place == (rates.machine.name, gpu_kind(rates.machine, rates.device))
    ]
    return matching[-1] if matching else None
