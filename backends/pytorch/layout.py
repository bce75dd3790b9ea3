"""Converts weights between the canonical layout and PyTorch's.

In PyTorch the axes of kernels have another order. PyTorch also flattens an image channel first, so
the rows of the next kernel have another order. The argument `image` is the shape (height, width,
channels) of the image that was flattened just before these weights, or None.
"""

from __future__ import annotations

import numpy as np

from specs.shapes import Shape

_CONVOLUTION = 4  # dimensions of the kernel; a dense kernel has two, all other weights one


def to_torch(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """A weight in PyTorch's layout.

    (height, width, in, out) -> (out, in, height, width); (in, out) -> (out, in); vectors are not
    changed.
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
        rows = np.moveaxis(weight.reshape(channels, height, width, *weight.shape[1:]), 0, 2)
        weight = rows.reshape(weight.shape)
    return weight.copy()
