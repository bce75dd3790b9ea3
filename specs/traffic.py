"""A lower bound of the numbers that a training step reads and writes, for any framework."""

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
    """How many numbers training reads and writes: per example, and per step of any batch size."""

    per_example: int
    per_step: int


def training_traffic(workload: Workload) -> Traffic:
    """A lower bound of the numbers that training reads and writes.

    It assumes that every layer reads its input and writes its output once, and that everything
    which can stay in registers stays there.

    Per example and layer: forward, input + output. Backward, the output's gradient and the input
    are read, and the input's gradient is written, unless no layer before this one has parameters. A
    layer before the first one with parameters has no backward pass. Dropout and flatten cost
    nothing, as they can be part of their neighbours; nor do activations, losses, batch norm's
    second pass over its input, or gathering the batch.

    Per step, with P parameters and S numbers that the optimizer keeps for each: P read forward; the
    kernels, except the first layer's, read backward; P gradients written, then read; P weights read
    and written; S P read and written. The sum is (5 + 2 S) P and those kernels.
    """
    shapes = infer_shapes(workload)
    # There is one, as the last layer is dense.
    first = next(shape.position for shape in shapes if shape.parameters)
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
    """How many numbers an optimizer keeps for each weight."""
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
