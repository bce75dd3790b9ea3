"""The interface between a framework and the bench: a `Backend` trains a `Job`.

An adapter translates the workload, trains and predicts. It never grades, times, prints, logs or
opens a file. It seeds only the framework's dropout, from the job's seed (in native mode it may seed
more, see `NativeBackend`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from specs.model import Conv2d, Name, Size, Workload
from specs.shapes import infer_shapes

Images = npt.NDArray[np.float32]  # (n, height, width, channels), 0..1
Labels = npt.NDArray[np.int64]  # (n,)
Logits = npt.NDArray[np.float32]  # (n, classes)
Order = npt.NDArray[np.int64]  # (n,)
Weights = Mapping[str, npt.NDArray[np.float32]]
Masks = Sequence[npt.NDArray[np.bool_]]

# The number of examples per call of a prediction, the same for all backends. It is large enough
# that the overhead of a call is negligible, and small enough that the activations of a convolution
# (1,000 x 26 x 26 x 32 floats, 87 MB) fit any device.
PREDICTION_BATCH = 1000

# An adapter may compile a program that trains several steps. Each such program trains the same
# number of steps in each epoch, so that a short epoch can show whether it is right. A call costs up
# to 0.3 ms, so there are more steps in a call where steps are short: floating point operations of a
# step -> the most steps. A longer step is a call of its own: the cost of the call is hidden.
_MOST_STEPS = {1e6: 512, 1e7: 128, 1e9: 32}

Mode = Literal["matched", "native"]
Precision = Literal["float32", "tf32", "bfloat16"]


class Job(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """One training of a workload by a backend on a device, with all its settings.

    The key of a record is computed from its job.

    Attributes:
        dataset: the data set. It is the recipe's, unless the user chose another or the recipe's is
            not available.
        mode: "matched": every backend does the same work; "native": the backend trains as the
            framework's own tutorial does (see `NativeBackend`).
        device: "cpu"; "cuda:INDEX", where INDEX counts the NVIDIA GPUs that the bench may use,
            although the worker sees only that one; "cuda:INDEX:SLICE", a slice of a divided GPU
            (MIG); "spark://HOST:PORT", a standing cluster of Spark; or, untested, Apple's "mps" or
            Intel's "xpu:INDEX". "4xcuda:0" are four GPUs of one kind, from the first on, and
            "2xcpu" two processes: ranks, which share each batch. "2x4xcuda:0" are two nodes of
            Slurm with four ranks each. The batch size is that of all ranks together.
        threads: the number of CPU threads for arithmetic, of all ranks of a node together.
        precision: of the products. "tf32": TensorFloat-32 on NVIDIA GPUs. "bfloat16": mixed
            precision, as each framework documents it. Products have factors of bfloat16; weights,
            loss, optimizer state and the statistics of batch norm stay in float32.
        compiled: whether the framework's compiler (XLA, TorchInductor) is on.
        epochs, batch_size: the recipe's values, unless the user chose others.
        round: the number of the round, counted from 0.
    """

    workload: Workload
    dataset: Name
    mode: Mode
    backend: str
    device: Annotated[
        str,
        Meta(
            pattern=r"^((([2-9]|[1-9][0-9]+)x)?[1-9][0-9]*x)?(cpu|mps|xpu:[0-9]+|cuda:[0-9]+(:[0-9]+)?"
            r"|spark://[A-Za-z0-9.-]+:[0-9]+)$"
        ),
    ]
    threads: Size
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    precision: Precision
    compiled: bool
    deterministic: bool
    epochs: Size
    batch_size: Size
    round: Annotated[int, Meta(ge=0)]

    @property
    def ranks(self) -> int:
        """The number of devices, or of processes on the CPU, that share each batch."""
        return ranks_of(self.device)


def ranks_of(device: str) -> int:
    """The number of ranks of a job's device: 4 for "4xcuda:0", 8 for "2x4xcuda:0", else 1."""
    return prod(_counts_of(device))


def nodes_of(device: str) -> int:
    """The number of nodes of a job's device: 2 for "2x4xcuda:0", 1 for "4xcuda:0"."""
    return _counts_of(device)[0]


def ranks_per_node(device: str) -> int:
    """The number of ranks on each node of a job's device: 4 for "2x4xcuda:0"."""
    return _counts_of(device)[1]


def _counts_of(device: str) -> tuple[int, int]:
    counts = [int(count) for count in re.findall(r"([0-9]+)x", _ranks_part(device))]
    nodes, ranks = [1, 1, *counts][-2:]
    return nodes, ranks


def _ranks_part(device: str) -> str:
    """What stands before the device of the first rank: "4x" for "4xcuda:0", "" for "cuda:0"."""
    found = re.match(r"([0-9]+x){0,2}", device)
    return found[0] if found else ""


def first_of(device: str) -> str:
    """The device of the first rank: "cuda:0" for "4xcuda:0" and for "2x4xcuda:0"."""
    return device.removeprefix(_ranks_part(device))


def kind_of(device: str) -> str:
    """The kind of a job's device: "cuda" for "cuda:1" and for "4xcuda:0"."""
    return first_of(device).partition(":")[0]


def kind_with_ranks(device: str) -> str:
    """The kind of a job's device, with its ranks: "cuda" for "cuda:1", "4xcuda" for "4xcuda:0"."""
    return _ranks_part(device) + kind_of(device)


def steps_per_call(job: Job, examples: int) -> int:
    """The number of training steps in one call of an adapter that compiles several steps.

    It depends only on the job and the data set, so all epochs and the verification have the same
    compiled programs. It is 1 where a step is long, and for convolutions on CPUs: XLA's are some 10
    times as slow inside a loop there (measured with JAX 0.10.2; jax-ml/jax issue 12868).

    Args:
        job: the job.
        examples: the number of training examples that are loaded.
    """
    layers = infer_shapes(job.workload)
    flops = sum(layer.training_flops for layer in layers) * job.batch_size
    most = next((steps for limit, steps in _MOST_STEPS.items() if flops <= limit), 1)
    if kind_of(job.device) == "cpu" and any(isinstance(layer.layer, Conv2d) for layer in layers):
        most = 1
    batches = examples // job.batch_size
    # A divisor of the number of batches, so that there is no second, shorter call to compile.
    divisors = (steps for steps in range(most, most // 4, -1) if batches % steps == 0)
    return next(divisors, max(1, most // 2))


def split_epoch(examples: int, batch_size: int, steps: int) -> Iterator[tuple[slice, int]]:
    """Yield the calls of an epoch: the part of the order, and the size of its batches.

    Full batches are trained by `steps` in a call; the last call may have fewer. A partial batch is
    a call of its own.

    Args:
        examples: the number of indices in the order.
        batch_size: the size of a full batch.
        steps: the most batches in a call.
    """
    in_full_batches = examples // batch_size * batch_size
    for start in range(0, in_full_batches, steps * batch_size):
        yield slice(start, min(start + steps * batch_size, in_full_batches)), batch_size
    if in_full_batches < examples:
        yield slice(in_full_batches, examples), examples - in_full_batches


def check_ranks(job: Job, examples: int) -> None:
    """Raise `Unsupported` if a batch has fewer examples than there are ranks.

    Args:
        job: the job.
        examples: the number of training examples that are loaded.
    """
    partial = examples % job.batch_size
    if job.workload.recipe.last_partial_batch == "drop":
        partial = 0
    for size, which in ((job.batch_size, "a batch"), (partial, "the last batch of an epoch")):
        if 0 < size < job.ranks:
            raise Unsupported(f"{which} has {size} examples, fewer than {job.ranks} ranks")


class DeviceMemory(Struct, frozen=True, kw_only=True, gc=False):
    """The device memory that the framework's own allocator reports.

    Attributes:
        began_anew: whether the framework resets its peak at each reading. True: the peak counts
            from the last reading, and a record has the median of the peaks of the epochs' training,
            without the first epoch's. False: the peak counts from the start of the process, and a
            record has the peak at the end of the first epoch's training (in records before format
            4, at the end of the job).
        first_epoch_bytes: in a record, the peak of the first epoch's training: it includes what the
            framework's autotuner tried. None if there is no other epoch or the peak is not reset.
            In older records it is None, and `allocator_peak_bytes` is the largest of all epochs.
    """

    allocator_peak_bytes: int
    began_anew: bool = False
    first_epoch_bytes: int | None = None


# Its name does not end in "Error", as it is a result: the report shows it as a row.
class Unsupported(Exception):  # noqa: N818 - see above
    """The framework or the device cannot do this job; the exception's text says why.

    A backend's constructor raises it.
    """


class Backend(Protocol):
    """One framework that trains one job.

    A process creates one backend, and calls all methods from the same thread.
    """

    def __init__(self, job: Job) -> None:
        """Build the model and its optimizer on the job's device.

        Raises:
            Unsupported: the framework or the device cannot do this job.
        """

    def load(self, images: Images, labels: Labels) -> None:
        """Load the training examples, for example onto the device.

        The adapter must not change the arrays.
        """

    def set_weights(self, weights: Weights) -> None:
        """Set the weights, with the canonical names and layouts of `specs.shapes.LayerShape`."""

    def reset(self, weights: Weights) -> None:
        """Go back to the start of the training: the state of a new backend with these weights.

        Optimizer state, number of steps and random state are those of a new backend. Nothing is
        compiled again: the next `train_epoch` runs the programs of the last one. Only for matched
        mode.
        """

    def get_weights(self) -> Weights:
        """The current weights, with the names and layouts of `set_weights`."""

    def train_epoch(self, order: Order, masks: Masks | None = None) -> float:
        """Train on the examples with the indices in `order`, in batches of the job's size.

        The last batch has the remaining examples.

        Args:
            order: (n,) indices of the loaded examples.
            masks: the values that dropout keeps, one boolean array (n, *layer shape) per dropout
                layer; only for `bench verify`.

        Returns:
            The mean over the n examples of the loss that each had in its own training step.
        """

    def predict(self, images: Images) -> Logits:
        """Logits (n, classes), float32, on the host."""

    def sync(self) -> None:
        """Return only when all queued work of the device is done."""

    def device_memory(self) -> DeviceMemory | None:
        """The allocator's peak (see `DeviceMemory`); the peak is then reset, if that is possible.

        None if there is no such figure, e.g. on the CPU.
        """

    def settings(self) -> Mapping[str, str | int | bool | None]:
        """The framework's settings, for example threads, TF32, compiler.

        The framework reports them; copies of the job's values would hide a mistake.
        """


class SumsIntoWeights(Backend, Protocol):
    """A backend whose framework adds a gradient to a weight in parts, each of some examples.

    A weight is rounded as often, so the rounding of an update grows with the batch. `bench` allows
    for that, and only for such a backend.
    """

    @property
    def examples_per_sum(self) -> int | None:
        """The fewest examples of a part; None if the job's updates are not made so."""


class BackendElsewhere(Backend, Protocol):
    """A backend whose framework works in other processes, too."""

    def processes(self) -> Sequence[int] | None:
        """The IDs of the framework's processes on this machine, besides the worker itself.

        The CPU time and the memory of a job are those of the worker and of these. None if it works
        on other machines: both are then unknown.
        """


class FarBackend(BackendElsewhere, Protocol):
    """A backend whose framework works in another process only, see `backends.far`."""

    def transport_seconds(self) -> float:
        """How long calls and arrays were on their way between the processes, since the last call.

        It is not the framework's time, so the time of a phase does not include it.
        """


class NativeBackend(Backend, Protocol):
    """One framework that trains one job as its own tutorial does.

    Initial weights, shuffle, constants and input pipeline are the framework's own. The adapter may
    seed all random numbers from the job's seed. `train_epoch` trains on all examples, in an order
    of the framework. `settings` has random=False if nothing in its training is random.
    """

    def read_inputs(self) -> int:
        """Read an epoch's examples through the input pipeline, without training.

        Returns:
            The number of examples.
        """


class NativeAtOnce(NativeBackend, Protocol):
    """A native backend whose framework trains several epochs in one call, and none alone."""

    @property
    def epochs_per_call(self) -> int:
        """How many epochs a call of `train_epoch` trains: a divisor of the job's epochs."""
