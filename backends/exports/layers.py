"""The layers of a trained model as both formats take them: their weights, images channel first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from backends.contract import Unsupported, Weights
from backends.layout import to_channels_first
from specs.model import Conv2d, Dropout, Workload
from specs.shapes import LayerShape, infer_shapes, same_padding

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
    for shape in infer_shapes(workload):
        own = {
            name: to_channels_first(value, None if name == "bias" else shape.flattened)
            for name, value in _checked(shape, weights).items()
        }
        if isinstance(shape.layer, Conv2d):
            yield _convolution(shape, shape.layer, own)
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
    kernel = np.pad(own["kernel"], [(0, 0), (0, 0), *in_front])
    return TrainedLayer(shape, {**own, "kernel": kernel}, (padding[0], padding[1]))
