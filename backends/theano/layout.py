"""Converts weights and masks between the canonical layout and Theano's.

Theano's images are (n, channels, height, width). So its convolution kernels have another order of
axes, and it flattens an image channel first: the rows of the next kernel have another order. The
argument `image` is the shape (height, width, channels) of the image that was flattened just before
these values, or None.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from specs.model import Dense, Dropout, Flatten, Workload
from specs.shapes import LayerShape, Shape, infer_shapes

_CONVOLUTION = 4  # dimensions of the kernel; a dense kernel has two, all other weights one


def images_of_weights(workload: Workload) -> dict[str, Shape | None]:
    """Canonical name of each weight and state -> its `image`, in the order of the layers."""
    images: dict[str, Shape | None] = {}
    for shape, image in _layers(workload):
        if isinstance(shape.layer, Dense):
            kernel, bias = shape.parameters
            images |= {kernel: image, bias: None}
        else:
            images |= dict.fromkeys(shape.parameters | shape.state, image)
    return images


def images_of_dropouts(workload: Workload) -> list[Shape | None]:
    """The `image` of each dropout layer, in layer order."""
    return [image for shape, image in _layers(workload) if isinstance(shape.layer, Dropout)]


def to_theano(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """A weight in Theano's layout; a copy.

    (height, width, in, out) -> (out, in, height, width); dense kernels keep their axes.
    """
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(3, 2, 0, 1).copy()
    if image is None:
        return weight.copy()
    rows = np.moveaxis(weight.reshape(*image, *weight.shape[1:]), 2, 0)
    return rows.copy().reshape(weight.shape)


def from_theano(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """The inverse of `to_theano`; a copy."""
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(2, 3, 1, 0).copy()
    if image is None:
        return weight.copy()
    height, width, channels = image
    rows = np.moveaxis(weight.reshape(channels, height, width, *weight.shape[1:]), 0, 2)
    return rows.copy().reshape(weight.shape)


def mask_to_theano(mask: np.ndarray, image: Shape | None) -> np.ndarray:
    """A mask (n, *layer shape) of dropout in Theano's layout, as float32."""
    shape = mask.shape[1:] if image is None else image
    channel_first = np.moveaxis(mask.reshape(-1, *shape), -1, 1)  # a vector is not changed
    flat = channel_first if image is None else channel_first.reshape(len(mask), -1)
    return np.ascontiguousarray(flat, np.float32)


def _layers(workload: Workload) -> Iterator[tuple[LayerShape, Shape | None]]:
    """Each layer, and the image whose order the layer's input has, if it is a flattened one."""
    image: Shape | None = None
    for shape in infer_shapes(workload):
        image = shape.input if isinstance(shape.layer, Flatten) else image
        yield shape, image
        image = None if isinstance(shape.layer, Dense) else image
