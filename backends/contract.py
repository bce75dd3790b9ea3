"""The interface between a framework and the bench: a `Job` says what to do, a `Backend` does it.

An adapter translates the workload, trains and predicts. It never grades, times, prints, logs or
opens a file. It seeds only its own dropout, from the job's seed (in native mode it may seed more,
see `NativeBackend`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal, Protocol

import numpy as np
import numpy.typing as npt
from msgspec import Meta, Struct

from specs.model import Name, Size, Workload

Images = npt.NDArray[np.float32]  # (n, height, width, channels), 0..1
Labels = npt.NDArray[np.int64]  # (n,)
Logits = npt.NDArray[np.float32]  # (n, classes)
Order = npt.NDArray[np.int64]  # (n,)
Weights = Mapping[str, npt.NDArray[np.float32]]
Masks = Sequence[npt.NDArray[np.bool_]]

# Examples per call when predicting, the same for all backends: large enough that the overhead of a
# call does not count, small enough that the activations of a convolution (1,000 x 26 x 26 x 32
# floats, 87 MB) fit any device.
PREDICTION_BATCH = 1000

Mode = Literal["matched", "native"]


class Job(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Everything that decides a measurement, and therefore the record's key.

    Attributes:
        dataset: the data set that is used: the recipe's, unless the user chose another or the
            recipe's is not available.
        mode: matched: every backend does the same work; native: it trains as the framework's own
            tutorial does (see `NativeBackend`).
        device: "cpu"; "cuda:INDEX", where INDEX counts all NVIDIA GPUs of the machine, although the
            worker sees only that one; or, untested, Apple's "mps" or Intel's "xpu:INDEX".
        threads: CPU threads for arithmetic.
        compiled: whether the framework's compiler (XLA, TorchInductor) is on.
        epochs, batch_size: the recipe's, unless the user chose others.
        round: number of the repetition, counted from 0.
    """

    workload: Workload
    dataset: Name
    mode: Mode
    backend: str
    device: Annotated[str, Meta(pattern="^(cpu|mps|(cuda|xpu):[0-9]+)$")]
    threads: Size
    seed: Annotated[int, Meta(ge=0, le=2**32 - 1)]
    precision: Literal["float32", "tf32", "bfloat16"]
    compiled: bool
    deterministic: bool
    epochs: Size
    batch_size: Size
    round: Annotated[int, Meta(ge=0)]


class DeviceMemory(Struct, frozen=True, kw_only=True, gc=False):
    """What the framework's own allocator reports about the device's memory.

    Attributes:
        began_anew: whether the framework can reset its peak. True: the peak counts from the last
            time that it was read; a record has the largest peak of any epoch's training. False: the
            peak counts from the start of the process; a record has the peak at the end of the first
            epoch's training (in records before format 4, at the end of the job).
    """

    allocator_peak_bytes: int
    began_anew: bool = False


# Not named an error: it becomes a row of the report that says what a framework cannot do.
class Unsupported(Exception):  # noqa: N818 - see above
    """A backend's constructor raises it: the framework or the device cannot do this job.

    The exception's text says why.
    """


class Backend(Protocol):
    """One framework that trains one job.

    It is created once per process. All methods are called from the same thread.
    """

    def __init__(self, job: Job) -> None:
        """Build the model and its optimizer on the job's device.

        Raises:
            Unsupported: the framework or the device cannot do this job.
        """

    def load(self, images: Images, labels: Labels) -> None:
        """Bring the training examples to where training reads them.

        The adapter must not change the arrays.
        """

    def set_weights(self, weights: Weights) -> None:
        """Set the weights, with the canonical names and layouts of `specs.shapes.LayerShape`."""

    def get_weights(self) -> Weights:
        """The current weights, with the names and layouts of `set_weights`."""

    def train_epoch(self, order: Order, masks: Masks | None = None) -> float:
        """Train on the examples that `order` names, in that order, in batches of the job's size.

        The last batch has the remaining examples.

        Args:
            order: (n,) indices into the loaded examples.
            masks: which values dropout keeps; only for `bench verify`. One boolean array (n, *layer
                shape) per dropout layer.

        Returns:
            The mean over the n examples of the loss that each had in its own training step.
        """

    def predict(self, images: Images) -> Logits:
        """Logits (n, classes), float32, on the host."""

    def sync(self) -> None:
        """Return only when all queued work of the device is done."""

    def device_memory(self) -> DeviceMemory | None:
        """The allocator's peak, which is then reset if the framework can do that.

        See `DeviceMemory`. None where there is no such figure (e.g. on the CPU).
        """

    def settings(self) -> Mapping[str, str | int | bool | None]:
        """The framework's settings, for example threads, TF32, compiler.

        They are read back from the framework, not copied from the job.
        """


class NativeBackend(Backend, Protocol):
    """One framework that trains one job as its own tutorial does.

    Initial weights, shuffle, constants and input pipeline are the framework's own. The adapter may
    seed everything random from the job's seed. `train_epoch` trains on all examples, in its own
    order.
    """

    def read_inputs(self) -> int:
        """Read an epoch's examples through the input pipeline as training does, but do not train.

        Returns:
            The number of examples.
        """
