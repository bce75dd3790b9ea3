"""What follows from a workload without running it: shapes, parameters, arithmetic and memory traffic."""

from __future__ import annotations

from math import prod

from msgspec import Struct

from specs.errors import SpecError
from specs.model import Conv2d, Dense, Flatten, Layer, MaxPool2d, Workload

Shape = tuple[int, ...]
FLOAT_BYTES = 4
IMAGE_DIMENSIONS = 3
MOST_PARAMETERS = 10**9  # 4 GB of weights, 8 to 16 GB with an optimizer's state: past that it is a typing error


class LayerShape(Struct, frozen=True, kw_only=True):
    """One layer of a workload, per example.

    Attributes:
        position: index in `layers`; the layer's weights are named "POSITION.kernel" and "POSITION.bias".
        input, output: shapes without the batch.
        parameters: weight name -> shape, in canonical layout: (in, out), (height, width, in, out).
        forward_flops: additions and multiplications of the matrix products; elementwise work is not counted.
        training_flops: forward, and backward for the weights and, but for the first layer with weights, the input.
        forward_bytes: float32 values read and written, weights left out as a batch shares them.
    """

    position: int
    layer: Layer
    input: Shape
    output: Shape
    parameters: dict[str, Shape]
    forward_flops: int
    training_flops: int
    forward_bytes: int

    @property
    def parameter_count(self) -> int:
        """How many numbers this layer learns."""
        return sum(map(prod, self.parameters.values()))


def infer_shapes(workload: Workload) -> tuple[LayerShape, ...]:
    """Every layer with its shapes and costs.

    Raises:
        SpecError: a layer does not fit what comes before it; the problem names the layer by its JSON path.
    """
    shapes: list[LayerShape] = []
    shape: Shape = workload.input.shape
    for position, layer in enumerate(workload.layers):
        output, parameters = _apply(f"layers[{position}]", layer, shape)
        kernel = next(iter(parameters.values()), ())
        # Each output value of a dense or convolution layer is one multiply-add per weight of its kernel column.
        forward_flops = 2 * prod(kernel) * prod(output[:-1]) if kernel else 0
        first = not any(before.parameters for before in shapes)
        shapes.append(
            LayerShape(
                position=position,
                layer=layer,
                input=shape,
                output=output,
                parameters={f"{position}.{name}": size for name, size in parameters.items()},
                forward_flops=forward_flops,
                training_flops=forward_flops * (2 if first else 3),
                forward_bytes=FLOAT_BYTES * (prod(shape) + prod(output)),
            )
        )
        shape = output
    _check_end(workload, shapes)
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
        case Conv2d(filters=filters, kernel_size=kernel_size):
            height, width, channels = _image(where, layer, shape)
            _check_window(where, "kernel", kernel_size, (height, width))
            output = (height - kernel_size[0] + 1, width - kernel_size[1] + 1, filters)
            return output, {"kernel": (*kernel_size, channels, filters), "bias": (filters,)}
        case MaxPool2d(pool_size=pool_size):
            height, width, channels = _image(where, layer, shape)
            _check_window(where, "pool", pool_size, (height, width))
            return (height // pool_size[0], width // pool_size[1], channels), {}
        case Flatten():
            return (prod(_image(where, layer, shape)),), {}
        case _:
            return shape, {}


def _image(where: str, layer: Layer, shape: Shape) -> Shape:
    if len(shape) != IMAGE_DIMENSIONS:
        kind = layer.__struct_config__.tag
        raise SpecError(
            f"{where}: {kind} on a vector of length {shape[0]}", expected="an image (height, width, channels)"
        )
    return shape


def _check_window(where: str, what: str, window: Shape, image: Shape) -> None:
    if window[0] > image[0] or window[1] > image[1]:
        problem = f"{where}: the {what} {window[0]}x{window[1]} is larger than its input {image[0]}x{image[1]}"
        raise SpecError(problem, expected=f"a {what} of at most {image[0]}x{image[1]}")


def _check_end(workload: Workload, shapes: list[LayerShape]) -> None:
    last, classes = shapes[-1], workload.input.classes
    where = f"layers[{last.position}]"
    if not isinstance(last.layer, Dense) or last.output != (classes,):
        found = f"{last.layer.__struct_config__.tag} with output {last.output}"
        raise SpecError(f"{where}: the last layer is {found}", expected=f"dense with units {classes}, one per class")
    if last.layer.activation != "linear":
        raise SpecError(
            f"{where}.activation: found '{last.layer.activation}' in the last layer",
            expected="linear",
            hint="the loss takes logits and applies the softmax itself",
        )
    total = sum(shape.parameter_count for shape in shapes)
    if total > MOST_PARAMETERS:
        raise SpecError(f"layers: {total:,} parameters", expected=f"at most {MOST_PARAMETERS:,}")
