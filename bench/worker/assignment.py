"""The assignment of a worker: what it has to do, written by its parent as JSON."""

from __future__ import annotations

from msgspec import Struct

from backends.contract import Job


class _Assignment(Struct, frozen=True, kw_only=True):
    """What every assignment has.

    Attributes:
        job: the job; a verification replaces its workload by that of each model, and limits use
            only its device, threads and precision.
        adapter: the class to load, as "module:Class"; for limits that of an engine.
        package: see `bench.worker.adapter.load_class`.
    """

    job: Job
    adapter: str
    package: str = ""


class Train(_Assignment, frozen=True, kw_only=True, tag="train"):
    """Train the job.

    Attributes:
        data: the folder of the data set's arrays.
        train_evaluated: how many training examples are evaluated after every epoch, at most.
        gpu: the UUID of the job's NVIDIA GPU; "" if it has none.
        references: the folder of what the reference makes of first steps, see
            `bench.worker.verification.expected`.
    """

    data: str
    train_evaluated: int
    gpu: str = ""
    references: str


class Verify(_Assignment, frozen=True, kw_only=True, tag="verify"):
    """Compare a backend with the reference.

    Attributes:
        models: the models whose computed values are checked, names of `verification.models.MODELS`.
        behaviour: the models whose calls are checked, names of `verification.models.BEHAVIOUR`.
        long: names of `bench.worker.verification.models.LONG`: an epoch of all data is checked.
        native: names of `bench.worker.verification.models.NATIVE`: native mode is checked.
        folders: model -> the folder of its data set.
    """

    models: tuple[str, ...] = ()
    behaviour: tuple[str, ...] = ()
    long: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    folders: dict[str, str]

    @property
    def pieces(self) -> int:
        """How many `ModelFindings` a complete verification has."""
        named = (self.models, self.behaviour, self.long, self.native)
        return sum(map(len, named)) + (2 if self.job.mode == "matched" else 0)


class MeasureLimits(_Assignment, frozen=True, kw_only=True, tag="limits"):
    """Measure what an engine reaches by itself."""


Assignment = Train | Verify | MeasureLimits
