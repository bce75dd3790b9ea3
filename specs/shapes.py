"""Computes shapes, parameters, FLOP and bytes of a workload without running it."""

from __future__ import annotations

from math import prod

from msgspec import Struct

from specs.errors import SpecError
from specs.model import (
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    Layer,
    MaxPool2d,
    Sgd,
    Workload,
)

Shape = tuple[int, ...]
FLOAT_BYTES = 4
IMAGE_DIMENSIONS = 3
_STATE = ("mean", "variance")
# This is 4 GB of weights, and 8 to 16 GB with an optimizer's state. A larger number is a typing
# error.
MOST_PARAMETERS = 10**9


class LayerShape(Struct, frozen=True, kw_only=True):
    """One layer of a workload; all numbers are per example.

    Attributes:
        position: index in `layers`; the layer's weights are named "POSITION.kernel",
            "POSITION.bias" and so on.
        input, output: shapes without the batch.
        parameters: name of a weight -> shape, in canonical layout: (in, out) for dense layers,
            (height, width, in, out) for convolutions; batch norm has "scale" and "shift".
        state: name -> shape of the values that the layer itself updates: batch norm's "mean" and
            "variance".
        flattened: the image whose pixels are in the input vector, in the order height, width,
            channel; None if the input is an image, or follows a dense layer. Frameworks with
            channels first have these pixels in another order.
        forward_flops: additions and multiplications of the matrix products in the forward pass;
            elementwise operations do not count.
        training_flops: the same for the forward pass and the gradients of weights and input; the
            first layer with weights needs no gradient of its input.
        forward_bytes: bytes of input and output as float32; weights do not count, as a batch shares
            them.
    """

    position: int
    layer: Layer
    input: Shape
    output: Shape
    parameters: dict[str, Shape]
    state: dict[str, Shape]
    flattened: Shape | None
    forward_flops: int
    training_flops: int
    forward_bytes: int

    @property
    def parameter_count(self) -> int:
        """The number of parameters of this layer."""
        return sum(map(prod, self.parameters.values()))


def infer_shapes(workload: Workload) -> tuple[LayerShape, ...]:
    """Every layer with its shapes and costs.

    Raises:
        SpecError: a layer does not fit its input, the last layer is not a linear dense one with a
            unit per class, there are too many parameters, or the optimizer has nesterov without
            momentum. The problem begins with the JSON path.
    """
    shapes: list[LayerShape] = []
    shape: Shape = workload.input.shape
    flattened: Shape | None = None
    for position, layer in enumerate(workload.layers):
        output, parameters = _apply(f"layers[{position}]", layer, shape)
        kernel = parameters.get("kernel", ())
        # An output value of a dense or convolution layer takes one multiply-add per weight of its
        # column of the kernel.
        forward_flops = 2 * prod(kernel) * prod(output[:-1]) if kernel else 0
        first = not any(before.parameters for before in shapes)
        shapes.append(
            LayerShape(
                position=position,
                layer=layer,
                input=shape,
                output=output,
                parameters={f"{position}.{name}": size for name, size in parameters.items()},
                state={
                    f"{position}.{name}": shape[-1:]
                    for name in _STATE
                    if isinstance(layer, BatchNorm)
                },
                flattened=flattened,
                forward_flops=forward_flops,
                training_flops=forward_flops * (2 if first else 3),
                forward_bytes=FLOAT_BYTES * (prod(shape) + prod(output)),
            )
        )
        if isinstance(layer, Dense | Flatten):
            flattened = shape if isinstance(layer, Flatten) else None
        shape = output
    _check_end(workload, shapes)
    optimizer = workload.optimizer
    if isinstance(optimizer, Sgd) and optimizer.nesterov and not optimizer.momentum:
        raise SpecError(
            "optimizer.nesterov: true with momentum 0",
            expected="a momentum above 0, or nesterov false",
        )
    return tuple(shapes)


def _apply(where: str, layer: Layer, shape: Shape) -> tuple[Shape, dict[str, Shape]]:
    """The output shape and the parameters of a layer on an input shape."""
    match layer:
        case Dense(units=units):
            if len(shape) != 1:
                raise SpecError(
                    f"{where}: dense on an image of shape {shape}",
                    expected="a vector",
                    hint='put {"type": "flatten"} before it',
                )
            return (units,), {"kernel": (shape[0], units), "bias": (units,)}
        case Conv2d():
            image = _image(where, layer, shape)
            parameters = {
                "kernel": (*layer.kernel_size, image[2], layer.filters),
                "bias": (layer.filters,),
            }
            if layer.padding == "same":
                height, width = -(-image[0] // layer.strides[0]), -(-image[1] // layer.strides[1])
                return (height, width, layer.filters), parameters
            _check_window(where, "kernel", layer.kernel_size, image)
            sizes = zip(image[:2], layer.kernel_size, layer.strides, strict=True)
            return (*((n - k) // stride + 1 for n, k, stride in sizes), layer.filters), parameters
        case MaxPool2d(pool_size=pool_size) | AvgPool2d(pool_size=pool_size):
            height, width, channels = _image(where, layer, shape)
            _check_window(where, "pool", pool_size, shape)
            return (height // pool_size[0], width // pool_size[1], channels), {}
        case BatchNorm():
            return shape, {"scale": shape[-1:], "shift": shape[-1:]}
        case Flatten():
            return (prod(_image(where, layer, shape)),), {}
        case _:
            return shape, {}


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """The numbers of zeros that padding "same" adds before and after an axis of `size` values.

    If their sum is odd, the extra zero comes after the axis (see `specs.model`).
    """
    total = max((-(-size // stride) - 1) * stride + kernel - size, 0)
    return total // 2, total - total // 2


def _image(where: str, layer: Layer, shape: Shape) -> Shape:
    if len(shape) != IMAGE_DIMENSIONS:
        kind = layer.__struct_config__.tag
        raise SpecError(
            f"{where}: {kind} on a vector of length {shape[0]}",
            expected="an image (height, width, channels)",
        )
    return shape


def _check_window(where: str, kind: str, window: Shape, image: Shape) -> None:
    if window[0] > image[0] or window[1] > image[1]:
        problem = (
            f"{where}: the {kind} {window[0]}x{window[1]} is larger than its input"
            f" {image[0]}x{image[1]}"
        )
        raise SpecError(problem, expected=f"a {kind} of at most {image[0]}x{image[1]}")


def _check_end(workload: Workload, shapes: list[LayerShape]) -> None:
    last, classes = shapes[-1], workload.input.classes
    where = f"layers[{last.position}]"
    if not isinstance(last.layer, Dense) or last.output != (classes,):
        kind = last.layer.__struct_config__.tag
        raise SpecError(
            f"{where}: the last layer is {kind} with output {last.output}",
            expected=f"dense with units {classes}, one per class",
        )
    if last.layer.activation != "linear":
        raise SpecError(
            f"{where}.activation: found '{last.layer.activation}' in the last layer",
            expected="linear",
            hint="the loss takes logits and applies the softmax itself",
        )
    total = sum(shape.parameter_count for shape in shapes)
    if total > MOST_PARAMETERS:
        raise SpecError(f"layers: {total:,} parameters", expected=f"at most {MOST_PARAMETERS:,}")
