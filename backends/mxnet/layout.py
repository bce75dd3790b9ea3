"""Converts weights between the canonical layout and MXNet's.

In MXNet the axes of kernels have another order: (out, in) and (out, in, height, width). Images are
channel first, and are flattened so; the rows of the next kernel then have another order. The
argument `image` is the shape (height, width, channels) of the image that was flattened just before
these weights, or None.
"""

from __future__ import annotations

import numpy as np

from specs.shapes import Shape

_CONVOLUTION = 4  # dimensions of the kernel; a dense kernel has two, all other weights one


def to_mxnet(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """A weight in MXNet's layout, not always a copy."""
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(3, 2, 0, 1)
    return (weight if image is None else channels_first(weight, image)).T


def from_mxnet(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """The inverse of `to_mxnet`; a copy."""
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(2, 3, 1, 0).copy()
    rows = weight.T
    if image is not None:
        height, width, channels = image
        split = rows.reshape(channels, height, width, *rows.shape[1:])
        rows = np.moveaxis(split, 0, 2).reshape(rows.shape)
    return rows.copy()


def channels_first(rows: np.ndarray, image: Shape) -> np.ndarray:
    """Rows for the pixels of an image, from the canonical order to channel, height, width."""
    split = rows.reshape(*image, *rows.shape[1:])
    return np.moveaxis(split, 2, 0).reshape(rows.shape)
