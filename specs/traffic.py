"""How many numbers a training step must move to and from memory at least, whatever the framework."""

from __future__ import annotations

from math import prod

from msgspec import Struct

from specs.model import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    Dropout,
    Flatten,
    Optimizer,
    RmsProp,
    Sgd,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes


class Traffic(Struct, frozen=True, kw_only=True):
    """Numbers read and written in training: for every example, and besides for every step, however large its batch."""

    per_example: int
    per_step: int


def training_traffic(workload: Workload) -> Traffic:
    """A lower bound: every layer reads its input and writes its output once, and what can stay in registers does.

    Per example and layer: forward, input + output. Backward, the output's gradient and the input
    once more, and the input's gradient written unless nothing before the layer learns; a layer
    before all that learn has no backward. Dropout and flatten cost nothing, as they can be part of
    their neighbours; nor do activations, losses, batch norm's second look at its input, or
    gathering the batch.

    Per step, with P parameters and S numbers kept by the optimizer beside each: P read forward; the
    kernels read backward but for the first layer's; P gradients written, then read; P weights read
    and written; S P read and written. In all (5 + 2 S) P and those kernels.
    """
    shapes = infer_shapes(workload)
    first = next(
        shape.position for shape in shapes if shape.parameters
    )  # the last layer is dense, so there is one
    parameters = sum(shape.parameter_count for shape in shapes)
    again = sum(
        prod(size)
        for shape in shapes
        if shape.position > first
        for name, size in shape.parameters.items()
        if name.endswith("kernel")
    )
    return Traffic(
        per_example=sum(_activations(shape, first) for shape in shapes),
        per_step=(5 + 2 * slots(workload.optimizer)) * parameters + again,
    )


def slots(optimizer: Optimizer) -> int:
    """How many numbers an optimizer keeps beside each weight."""
    match optimizer:
        case Sgd(momentum=momentum):
            return 1 if momentum else 0
        case RmsProp() | Adagrad():
            return 1
        case Adam() | AdamW() | Adadelta():
            return 2


def _activations(shape: LayerShape, first: int) -> int:
    if isinstance(shape.layer, Dropout | Flatten):
        return 0
    read, written = prod(shape.input), prod(shape.output)
    forward = read + written
    if shape.position < first:
        return forward
    return forward + written + read * (1 if shape.position == first else 2)
