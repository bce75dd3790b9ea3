"""The lines that a worker writes for its parent, each as soon as something has happened.

A record keeps most of these structs unchanged.
"""

from __future__ import annotations

from math import isnan
from typing import Literal

import msgspec
from msgspec import Struct

from backends.contract import DeviceMemory
from bench.worker.clock import Phase
from bench.worker.energy import Counter

INFINITE = 1e9  # JSON has no infinity
SettingValue = str | int | bool | None
Status = Literal["ok", "unsupported", "failed", "timeout", "killed", "diverged", "out of memory"]
OperationName = Literal["matmul", "convolution", "memory"]


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found.

    Attributes:
        check: the name of the check.
        deviation: the largest deviation, in units of its tolerance: more than 1 is a failure.
        where: the value that deviates most.
    """

    check: str
    deviation: float
    where: str

    @property
    def passed(self) -> bool:
        """Whether the deviation is within the tolerance."""
        return self.deviation <= 1


class Reached(Struct, frozen=True, kw_only=True, tag="reached"):
    """The best time of one operation of one size.

    Attributes:
        size: rows of the matrices, channels of the convolution, or bytes of the array.
        work: floating point operations of one operation; for "memory" the bytes that it reads and
            writes.
        seconds: time of one operation in the fastest of `repeats` chains of `chain` operations
            each.
    """

    operation: OperationName
    size: int
    work: int
    seconds: float
    repeats: int
    chain: int

    @property
    def per_second(self) -> float:
        """The rate in FLOP/s; for "memory" in bytes/s."""
        return self.work / self.seconds


class ModelFindings(Struct, frozen=True, kw_only=True, tag="verified"):
    """The findings on one model.

    Attributes:
        seed: the seed of the job that was checked.
        unsupported, failed: why there are no findings; "" if there are.
        details: the traceback of a failure.
    """

    model: str
    seed: int
    findings: tuple[Finding, ...]
    unsupported: str = ""
    failed: str = ""
    details: str = ""


class Epoch(Struct, frozen=True, kw_only=True, tag="epoch"):
    """The measurements of one epoch, and the loss and accuracy of the model after it.

    Attributes:
        number: counted from 1.
        training, prediction: the phases of the training and of predicting the test set.
        running_loss: the mean loss of the epoch's examples, each in its own training step, dropout
            on.
        test_loss, test_accuracy: the workload's own loss and the accuracy on the whole test set
            after the epoch, dropout off.
        train_loss, train_accuracy: the same on a fixed part of the training set, see
            `Startup.train_evaluated`.
        order_checksum: the checksum of the trained indices in their order; "own" in native mode.
        predicted_classes: how many classes are predicted at least once, or are no test image's
            label; None in records of earlier versions.
        epochs: the number of epochs in `training`, up to this one; more than 1 if the framework
            trains several in one call.
    """

    number: int
    training: Phase
    prediction: Phase
    running_loss: float
    test_loss: float
    test_accuracy: float
    train_loss: float
    train_accuracy: float
    order_checksum: str
    predicted_classes: int | None = None
    epochs: int = 1


class Startup(Struct, frozen=True, kw_only=True, tag="startup"):
    """What a worker did before the first epoch, and what it started from.

    Attributes:
        phases: "import", "build" and "load".
        weights_checksum: the checksum of the initial weights, read back from the backend.
        settings: what the framework reports, see `backends.contract.Backend.settings`.
        train_evaluated: this many training examples, the first ones, are evaluated after every
            epoch.
        energy: the counter that measures the energy of the job's device, or why there is none.
        host_energy: the same for the CPUs of a GPU job's machine; None for a job on the CPUs.
    """

    phases: tuple[Phase, ...]
    weights_checksum: str
    settings: dict[str, SettingValue]
    train_evaluated: int
    energy: Counter
    host_energy: Counter | None


class PeakMemory(Struct, frozen=True, kw_only=True, tag="memory"):
    """The peak of the framework's allocator in the training so far; the last such line counts."""

    peak: DeviceMemory


class Inputs(Struct, frozen=True, kw_only=True, tag="inputs"):
    """An epoch of a native backend's input pipeline, read without training."""

    phase: Phase


class Trained(Struct, frozen=True, kw_only=True, tag="trained"):
    """A job after its last epoch.

    Attributes:
        weights_checksum: the checksum of the weights.
    """

    weights_checksum: str


class JobVerification(Struct, frozen=True, kw_only=True, tag="job verification"):
    """How much a job's first steps, trained again after the last epoch, differ from the reference.

    Attributes:
        method: "exact": the change of every weight; "dropout": the backend draws its own masks, so
            loss, size and direction of every change are compared with their distribution over
            masks.
        steps: the number of full batches.
        partial_batch: the number of examples in the partial batch after them.
        deviations: of "loss", of every weight by its name, and of "prediction", the logits after
            the last epoch; for bfloat16 also of the precision. In units of the tolerance: more than
            1 is a failure.
        tries: the number of orders tried, as rounding may flip a ReLU.
        seconds: how long it took.
        not_verified: why there is no comparison; "" if there is one.
    """

    method: Literal["exact", "dropout"]
    steps: int
    partial_batch: int
    deviations: dict[str, float] = {}
    tries: int = 0
    seconds: float = 0.0
    not_verified: str = ""

    @property
    def worst(self) -> tuple[str, float]:
        """The name of the largest deviation, and the deviation; ("nothing", 0.0) without any.

        A deviation that is not a number becomes `INFINITE`.
        """
        numbers = {name: INFINITE if isnan(d) else d for name, d in self.deviations.items()}
        return max(numbers.items(), key=lambda item: item[1], default=("nothing", 0.0))

    @property
    def passed(self) -> bool:
        """Whether there is a comparison, and every deviation is within its tolerance."""
        return not self.not_verified and self.worst[1] <= 1


class ShortEpochs(Struct, frozen=True, kw_only=True, tag="short epochs"):
    """Epochs that are as short as the backend can train them.

    Together with the time of a whole epoch they give the overhead of an epoch.

    Attributes:
        examples: the examples of each.
        wall_seconds: the time of each.
    """

    examples: int
    wall_seconds: tuple[float, ...]


class Compared(Struct, frozen=True, kw_only=True, tag="compared"):
    """How far the predictions of an exported model are from the reference, with equal weights.

    Attributes:
        images: how many test images were predicted.
        deviation: the largest deviation of a probability; `INFINITE` if one is not a number.
        tolerance: the largest deviation that rounding explains.
        other_classes: the number of images whose most likely class differs.
    """

    images: int
    deviation: float
    tolerance: float
    other_classes: int

    @property
    def passed(self) -> bool:
        """Whether the deviation is within the tolerance."""
        return self.deviation <= self.tolerance


class Turn(Struct, frozen=True, kw_only=True, tag="turn"):
    """A turn: a timed slice of training, while the other backends of the group wait.

    Attributes:
        wall_seconds, cpu_seconds: of the training, see `bench.worker.clock.Phase`.
        waited_seconds: how long the process waited for this turn.
        waited_cpu_seconds: the CPU time that it used in that time; None if unknown.
    """

    wall_seconds: float
    cpu_seconds: float | None
    waited_seconds: float
    waited_cpu_seconds: float | None


class Settings(Struct, frozen=True, kw_only=True, tag="settings"):
    """The settings that a framework reports where there is no `Startup`.

    Attributes:
        value_bytes: the bytes of a number that an engine computes with; None for a backend.
    """

    settings: dict[str, SettingValue]
    value_bytes: int | None = None


class End(Struct, frozen=True, kw_only=True, tag="end"):
    """The outcome of a worker; the last line, except for turns.

    Attributes:
        reason: why the status is not "ok", in one line; else "".
        traceback: of a failure; else "".
        cpu_seconds: CPU time of the whole process, and of the framework's other processes; None if
            unknown.
    """

    status: Status
    reason: str
    traceback: str
    cpu_seconds: float | None


Line = (
    Startup
    | Epoch
    | PeakMemory
    | Inputs
    | Trained
    | JobVerification
    | ShortEpochs
    | Compared
    | Turn
    | Settings
    | Reached
    | ModelFindings
    | End
)


class MarkedLine(Struct, frozen=True):
    """A line in a file, and the mark of the worker that wrote it."""

    mark: str = ""
    line: msgspec.Raw = msgspec.Raw()


def encode_line(mark: str, line: Line) -> bytes:
    """A line as a worker writes it.

    Args:
        mark: the text by which `bench.runner.output.LineReader` recognizes this worker's lines.
        line: the content of the line.
    """
    return msgspec.json.encode(MarkedLine(mark, msgspec.Raw(msgspec.json.encode(line)))) + b"\n"
