"""The assignment of a worker: what it has to do, written by its parent as JSON."""

from __future__ import annotations

from msgspec import Struct

from backends.contract import Job
from specs.model import Workload


class _Assignment(Struct, frozen=True, kw_only=True):
    """The fields of every assignment.

    Attributes:
        job: the job; a verification replaces its workload by each model's, and limits use only its
            device, threads and precision.
        adapter: the class to load, as "module:Class"; for limits, an engine's class.
        package: see `bench.worker.adapter.load_class`.
        framework_python: the interpreter of a framework that is too old for the worker's Python,
            see `backends.far`; else "".
    """

    job: Job
    adapter: str
    package: str = ""
    framework_python: str = ""


class Train(_Assignment, frozen=True, kw_only=True, tag="train"):
    """Train the job.

    Attributes:
        data: the folder of the data set's arrays.
        train_evaluated: how many training examples are evaluated after every epoch, at most.
        gpus: the UUIDs of the job's NVIDIA GPUs, one for each rank; () if it has none.
        references: the folder of the reference's results for first steps, see
            `bench.worker.verification.expected`.
        learned: the file for what the model has learned, see `bench.records.learned`; "" for none.
        weights: the file for all weights of the trained model, see `bench.records.weights`; "" for
            none.
        takes_turns: whether the worker stays alive after its `End` and takes turns.
        only_turns: whether it takes turns without training first, as the job has a record.
    """

    data: str
    train_evaluated: int
    gpus: tuple[str, ...] = ()
    references: str
    learned: str = ""
    weights: str = ""
    takes_turns: bool = False
    only_turns: bool = False


class TurnCommand(Struct, frozen=True, kw_only=True):
    """What a worker trains in a turn, a line of JSON on its standard input.

    Attributes:
        epochs: the number of epochs, from the job's first one on.
        examples: the number of examples of each epoch, from its first one on, in whole calls of the
            adapter.
    """

    epochs: int
    examples: int


class Size(Struct, frozen=True, kw_only=True):
    """A workload at a batch size, at which a backend is verified."""

    workload: Workload
    batch_size: int

    @property
    def name(self) -> str:
        """The name in findings."""
        return f"{self.workload.name}, batch {self.batch_size}"


class Verify(_Assignment, frozen=True, kw_only=True, tag="verify"):
    """Compare a backend with the reference.

    Attributes:
        models: the models whose computed values are checked, names of `verification.models.EVERY`.
        behaviour: the models whose calls are checked, names of `verification.models.EVERY`.
        long: names of `bench.worker.verification.models.LONG`: an epoch of all data is checked.
        native: names of `bench.worker.verification.models.NATIVE`: native mode is checked.
        sync: the name of the model on which `sync` is checked, together with the behaviour.
        sizes: the workloads whose first steps are checked at their own size.
        dropout: whether dropout is checked, together with the behaviour.
        folders: model or name of a size -> the folder of its data set.
        references: see `Train`.
    """

    models: tuple[str, ...] = ()
    behaviour: tuple[str, ...] = ()
    long: tuple[str, ...] = ()
    native: tuple[str, ...] = ()
    sizes: tuple[Size, ...] = ()
    sync: str = "mlp-relu"
    dropout: bool = True
    folders: dict[str, str]
    references: str = ""

    @property
    def pieces(self) -> int:
        """How many `ModelFindings` a complete verification has."""
        named = (self.models, self.behaviour, self.long, self.native, self.sizes)
        single = (self.checks_behaviour, self.checks_float32, self.checks_dropout)
        return sum(map(len, named)) + sum(single)

    @property
    def checks_behaviour(self) -> bool:
        """Whether `sync` is checked, on a separate model."""
        return bool(self.behaviour)

    @property
    def checks_float32(self) -> bool:
        """Whether what a lower precision keeps in float32 is checked, on a separate model."""
        return self.checks_behaviour and self.job.precision != "float32"

    @property
    def checks_dropout(self) -> bool:
        """Whether dropout is checked, on a separate model."""
        return self.checks_behaviour and self.dropout


class MeasureLimits(_Assignment, frozen=True, kw_only=True, tag="limits"):
    """Measure the peak rates of an engine, without a model."""


class ReadExported(_Assignment, frozen=True, kw_only=True, tag="read exported"):
    """Compare the predictions of an exported model with the reference.

    The adapter is a `backends.exports.contract.Reader`.

    Attributes:
        files: the model's files.
        weights: the file with the weights from which the model was exported.
        data: the folder of the data set whose test images are predicted.
    """

    files: tuple[str, ...]
    weights: str
    data: str


Assignment = Train | Verify | MeasureLimits | ReadExported
