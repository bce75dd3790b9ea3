"""What a worker tells its parent, a line each as it happens; and what of it is kept in records."""

from __future__ import annotations

from typing import Literal

import msgspec
from msgspec import Struct

from backends.contract import DeviceMemory
from bench.worker.clock import Phase
from bench.worker.energy import Counter

INFINITE = 1e9  # JSON has no infinity


class Finding(Struct, frozen=True, kw_only=True):
    """What a check found: the largest deviation in units of its tolerance (over 1 is a failure), and where."""

    check: str
    deviation: float
    where: str

    @property
    def passed(self) -> bool:
        """Within the tolerance."""
        return self.deviation <= 1


class Reached(Struct, frozen=True, kw_only=True, tag="reached"):
    """What one operation of a size took at best.

    Attributes:
        size: rows of the matrices, channels of the convolution, or bytes of the array.
        work: of one operation: floating point operations; of "memory", bytes read and written.
        seconds: of one operation, in the fastest of `repeats` chains of `chain` operations each.
    """

    operation: OperationName
    size: int
    work: int
    seconds: float
    repeats: int
    chain: int

    @property
    def per_second(self) -> float:
        """FLOP/s, or bytes/s."""
        return self.work / self.seconds


class Proven(Struct, frozen=True, kw_only=True, tag="proven"):
    """The findings on one model, and the seed they are of; `unsupported` or `failed` says why there are none.

    `details` is a traceback of what failed.
    """

    model: str
    seed: int
    findings: tuple[Finding, ...]
    unsupported: str = ""
    failed: str = ""
    details: str = ""


Setting = str | int | bool | None
Status = Literal["ok", "unsupported", "failed", "timeout", "killed", "diverged", "out of memory"]


class Epoch(Struct, frozen=True, kw_only=True, gc=False, tag="epoch"):
    """One epoch: its training and its prediction of the test set, measured; and what the model then knew.

    Attributes:
        number: counted from 1.
        running_loss: mean over the epoch's examples of the loss each had in its own step, dropout
            on.
        test_loss, test_accuracy: by the workload's own loss, on the whole test set after the epoch,
            dropout off.
        train_loss, train_accuracy: the same on a fixed part of the training set, see
            `Startup.train_evaluated`.
        order_checksum: of the indices that were trained on, in order.
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


class Startup(Struct, frozen=True, kw_only=True, gc=False, tag="startup"):
    """What a worker did before the first epoch: phases "import", "build", "load"; and what it started from.

    Attributes:
        weights_checksum: of the initial weights, read back from the backend.
        train_evaluated: how many training examples are evaluated after every epoch, the first ones.
        energy: what counts the energy of the job's device, or why nothing does.
        host_energy: the same of the CPUs beside a GPU; None for a job that runs on the CPUs.
    """

    phases: tuple[Phase, ...]
    weights_checksum: str
    settings: dict[str, Setting]
    train_evaluated: int
    energy: Counter
    host_energy: Counter | None


class End(Struct, frozen=True, kw_only=True, gc=False, tag="end"):
    """How a worker ended; `cpu_seconds` is the whole process's, None where unknown; for `inputs` see `Record`."""

    status: Status
    reason: str
    traceback: str
    cpu_seconds: float | None
    device_memory: DeviceMemory | None
    inputs: Phase | None = None


Line = Startup | Epoch | End


class Told(Struct, frozen=True):
    """A line as it stands in a file: which start of a worker told it, and what."""

    start: str = ""
    line: msgspec.Raw = msgspec.Raw()


def line_of(start: str, line: Struct) -> bytes:
    """A line as a worker tells it; `start` is the one that `run_worker` gave it."""
    return msgspec.json.encode(Told(start, msgspec.Raw(msgspec.json.encode(line)))) + b"\n"


OperationName = Literal["matmul", "convolution", "memory"]
