"""Converts weights and masks between the canonical layout and Caffe's.

Runs in the old Python, see `backends.far`. Caffe's kernels have the outputs first, and it flattens
an image channel first, so the rows of the next kernel have another order. The argument `image` is
the shape (height, width, channels) of the image that was flattened just before, or None.
"""

from __future__ import annotations

import numpy as np

_CONVOLUTION = 4  # dimensions of the kernel; a dense kernel has two, all other weights one


def to_caffe(weight: np.ndarray, image: list[int] | None) -> np.ndarray:
    """A weight in Caffe's layout.

    (height, width, in, out) -> (out, in, height, width); (in, out) -> (out, in); vectors are not
    changed.
    """
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(3, 2, 0, 1)
    if image is not None:
        rows = np.moveaxis(weight.reshape(tuple(image) + weight.shape[1:]), 2, 0)
        weight = rows.reshape(weight.shape)
    return weight.T


def from_caffe(weight: np.ndarray, image: list[int] | None) -> np.ndarray:
    """The inverse of `to_caffe`; a copy."""
    if weight.ndim == _CONVOLUTION:
        return np.ascontiguousarray(weight.transpose(2, 3, 1, 0))
    weight = weight.T
    if image is not None:
        height, width, channels = image
        rows = np.moveaxis(weight.reshape((channels, height, width, *weight.shape[1:])), 0, 2)
        weight = rows.reshape(weight.shape)
    return np.array(weight, order="C")


def batch_to_caffe(values: np.ndarray, image: list[int] | None) -> np.ndarray:
    """Values of a batch in Caffe's layout: (n, height, width, channels) -> (n, channels, ...).

    Vectors (n, values) are not changed, except for their order after a flatten.
    """
    if image is not None:
        images = values.reshape((len(values), *tuple(image)))
        return np.moveaxis(images, 3, 1).reshape(values.shape)
    return np.moveaxis(values, -1, 1)
