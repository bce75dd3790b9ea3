"""Converts weights between the canonical layout and PyTorch's.

The axes of kernels have another order. So have the values of a flattened image, which PyTorch
flattens channel first: `image` is the shape (height, width, channels) of the image that was
flattened just before these weights, or None if there was none.
"""

from __future__ import annotations

import numpy as np

from specs.shapes import Shape

_CONVOLUTION = 4  # dimensions of its kernel; a dense layer's has two, all else one


def to_torch(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """A weight in PyTorch's layout.

    (height, width, in, out) -> (out, in, height, width); (in, out) -> (out, in); vectors keep their
    shape.
    """
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(3, 2, 0, 1)
    if image is not None:
        weight = np.moveaxis(weight.reshape(*image, *weight.shape[1:]), 2, 0).reshape(weight.shape)
    return weight.T


def from_torch(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """The inverse of `to_torch`; a copy."""
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(2, 3, 1, 0).copy()
    weight = weight.T
    if image is not None:
        height, width, channels = image
        moved = np.moveaxis(weight.reshape(channels, height, width, *weight.shape[1:]), 0, 2)
        weight = moved.reshape(weight.shape)
    return weight.copy()
