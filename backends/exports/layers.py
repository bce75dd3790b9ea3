"""The layers of a trained model as both formats take them: their weights, images channel first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backends.contract import Unsupported, Weights
from specs.model import Conv2d, Dense, Dropout, Flatten, Workload
from specs.shapes import LayerShape, Shape, infer_shapes, same_padding

Array = npt.NDArray[np.float32]


class TrainedLayer(NamedTuple):
    """A layer and its weights.

    Attributes:
        shape: its shapes, in the canonical layout.
        weights: "kernel" (out, in) or (out, in, height, width) and "bias", or batch norm's "scale",
            "shift", "mean" and "variance"; empty for other layers.
        padding: the rows and columns of zeros on each side of a convolution's image.
    """

    shape: LayerShape
    weights: dict[str, Array]
    padding: tuple[int, int] = (0, 0)


def trained_layers(workload: Workload, weights: Weights) -> Iterator[TrainedLayer]:
    """Yield the layers of a prediction, in order: without dropout, which then does nothing.

    The formats flatten an image channel first. So the weights on a flattened image have another
    order than in the canonical layout, up to the next dense layer.

    Raises:
        Unsupported: a weight is missing, has another shape than its layer, or is not finite.
    """
    image: Shape | None = None
    for shape in infer_shapes(workload):
        own = _checked(shape, weights)
        if isinstance(shape.layer, Flatten):
            image = shape.input
        elif image is not None:
            own = {
                name: value if name == "bias" else _channel_first(value, image)
                for name, value in own.items()
            }
        if isinstance(shape.layer, Conv2d):
            yield _convolution(shape, shape.layer, own)
        elif isinstance(shape.layer, Dense):
            image = None
            yield TrainedLayer(shape, {**own, "kernel": own["kernel"].T})
        elif not isinstance(shape.layer, Dropout):
            yield TrainedLayer(shape, own)


def _checked(shape: LayerShape, weights: Weights) -> dict[str, Array]:
    """The weights of a layer by their short names: "kernel"."""
    own = {}
    for name, size in (shape.parameters | shape.state).items():
        value = weights.get(name)
        if value is None or value.shape != size:
            found = "none" if value is None else value.shape
            raise Unsupported(f"the weight {name} has the shape {size}; found {found}")
        if not np.isfinite(value).all():
            raise Unsupported(f"the weight {name} has values that are not finite")
        own[name.partition(".")[2]] = value.astype(np.float32)
    return own


def _channel_first(value: Array, image: Shape) -> Array:
    """Rows in the order channel, height, width; they are in the order height, width, channel."""
    rows = value.reshape(*image, *value.shape[1:])
    return np.moveaxis(rows, 2, 0).reshape(value.shape)


def _convolution(shape: LayerShape, spec: Conv2d, own: dict[str, Array]) -> TrainedLayer:
    """A convolution with equal padding on both sides of an axis, as the formats have no other.

    "same" may add one more zero after an axis than before it. The kernel then gets a row or column
    of zeros in front, and the padding before the axis one more zero, which that row multiplies.
    """
    padding, in_front = [], []
    for axis in zip(shape.input[:2], spec.kernel_size, spec.strides, strict=True):
        before, after = same_padding(*axis) if spec.padding == "same" else (0, 0)
        padding.append(after)
        in_front.append((after - before, 0))
    kernel = np.pad(own["kernel"], [*in_front, (0, 0), (0, 0)]).transpose(3, 2, 0, 1)
    return TrainedLayer(shape, {**own, "kernel": kernel}, (padding[0], padding[1]))
