"""The whole interface between a framework and the bench: a `Job` says what to do, a `Backend` does it.

An adapter never grades, times, prints, logs or opens a file, and seeds nothing but its own dropout,
from the job's seed: it translates, trains and predicts.
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

# Examples per call when predicting: one number for all, large enough that the call itself costs
# nothing, small enough that the activations of a convolution (1,000 x 26 x 26 x 32 floats, 87 MB)
# fit any device.
PREDICTION_BATCH = 1000


Mode = Literal["matched", "native"]


class Job(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Everything that decides a measurement, and therefore the record's key.

    Attributes:
        dataset: the data set really used; the recipe's, unless the user chose or the recipe's could
            not be had.
        mode: matched, all alike; native, as the framework's own tutorial trains (see
            `NativeBackend`).
        device: "cpu"; "cuda:INDEX" counting all NVIDIA GPUs of the machine, of which the worker
            sees only that one; or, untested, Apple's "mps" or Intel's "xpu:INDEX".
        threads: CPU threads for arithmetic.
        compiled: whether the framework's compiler (XLA, TorchInductor) is on.
        epochs, batch_size: the recipe's, unless the user chose.
        round: which repetition this is, counted from 0.
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
    """What the framework's own allocator says of the device's memory.

    Attributes:
        began_anew: whether the peak is that since it was last asked for: in a record, of an epoch's
            training alone, the largest. Else since the process began: in a record, until the first
            epoch's training ended (in records before format 4, until the job ended), as the
            framework's peak cannot be reset.
    """

    allocator_peak_bytes: int
    began_anew: bool = False


class Unsupported(Exception):  # noqa: N818 - not an error: a row of the report that says what a framework cannot do
    """Raised by a backend's constructor: the framework, or the device, cannot do this job; the text says why."""


class Backend(Protocol):
    """One framework training one job. Created once per process; every method is called from one thread."""

    def __init__(self, job: Job) -> None:
        """Build the model and its optimizer on the job's device; raise `Unsupported` for what cannot be done."""

    def load(self, images: Images, labels: Labels) -> None:
        """Bring the training examples to where training reads them. The arrays must not be changed."""

    def set_weights(self, weights: Weights) -> None:
        """Take these weights: canonical names and layouts, see `specs.shapes.LayerShape`."""

    def get_weights(self) -> Weights:
        """The weights as they are now, as `set_weights` takes them."""

    def train_epoch(self, order: Order, masks: Masks | None = None) -> float:
        """Train on the examples that `order` names, in that order, in batches of the job's size, the rest as the last.

        Args:
            order: (n,) indices into the loaded examples.
            masks: for the proof only, what dropout keeps: one boolean array (n, *layer shape) per
                dropout layer.

        Returns:
            The mean over the n examples of the loss that each had in its own training step.
        """

    def predict(self, images: Images) -> Logits:
        """Logits (n, classes), float32, on the host."""

    def sync(self) -> None:
        """Return only when all queued work of the device is done."""

    def device_memory(self) -> DeviceMemory | None:
        """The allocator's peak, which then begins anew where the framework can do that (see `DeviceMemory`).

        None where there is no such figure (as on the CPU).
        """

    def settings(self) -> Mapping[str, str | int | bool | None]:
        """What the framework itself says of how it is set: threads, TF32, compiler; read back, never repeated."""


class NativeBackend(Backend, Protocol):
    """One framework training one job as its own tutorial does: own weights, shuffle, constants and input pipeline.

    It may seed all that is random from the job's seed. `train_epoch` trains on all examples, in its
    own order.
    """

    def read_inputs(self) -> int:
        """Read an epoch's examples through the input pipeline as training does, without training; how many."""
