"""Computes a lower bound of the values that a training step reads and writes, for any framework."""

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
    """The number of values that training reads and writes.

    Attributes:
        per_example: the number per example.
        per_step: the additional number per step, independent of the batch size.
        of_update: those of `per_step` that the update of the weights moves: weights and optimizer
            values. Mixed precision leaves them in float32.
    """

    per_example: int
    per_step: int
    of_update: int


def training_traffic(workload: Workload) -> Traffic:
    """A lower bound of the number of values that training reads and writes.

    It assumes that every layer reads its input and writes its output once, and that everything
    which can stay in registers stays there.

    Per example and layer: the forward pass reads the input and writes the output. The backward pass
    reads the output's gradient and the input, and writes the input's gradient. The first layer with
    parameters needs no gradient of its input, and layers before it have no backward pass. Dropout
    and flatten cost nothing, as they can be part of their neighbours. Activations, losses, batch
    norm's second pass over its input, and gathering the batch cost nothing either.

    Per step, with P parameters and S optimizer values for each: the forward pass reads P; the
    backward pass reads the kernels except the first layer's; P gradients are written and read; P
    weights are read and written; S P optimizer values are read and written. The sum is (5 + 2 S) P
    plus the kernels that the backward pass reads.
    """
    shapes = infer_shapes(workload)
    # Such a layer exists, as the last layer is dense.
    first = next(shape.position for shape in shapes if shape.parameters)
    parameters = sum(shape.parameter_count for shape in shapes)
    backward_kernels = sum(
        prod(size)
        for shape in shapes
        if shape.position > first
        for name, size in shape.parameters.items()
        if name.endswith("kernel")
    )
    of_update = (2 + 2 * slots(workload.optimizer)) * parameters
    return Traffic(
        per_example=sum(_activations(shape, first) for shape in shapes),
        per_step=of_update + 3 * parameters + backward_kernels,
        of_update=of_update,
    )


def slots(optimizer: Optimizer) -> int:
    """The number of values that an optimizer keeps for each weight."""
    match optimizer:
        case Sgd(momentum=momentum):
            return 1 if momentum else 0
        case RmsProp() | Adagrad():
            return 1
        case Adam() | AdamW() | Adadelta():
            return 2


def _activations(shape: LayerShape, first: int) -> int:
    """The values per example that a layer reads and writes; `first`: see `training_traffic`."""
    if isinstance(shape.layer, Dropout | Flatten):
        return 0
    read, written = prod(shape.input), prod(shape.output)
    forward = read + written
    if shape.position < first:
        return forward
    return forward + written + read * (1 if shape.position == first else 2)
