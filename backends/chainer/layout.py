"""Converts weights between the canonical layout and Chainer's.

In Chainer the axes of kernels have another order. Chainer also flattens an image channel first, so
the rows of the next kernel have another order. The argument `image` is the shape (height, width,
channels) of the image that was flattened just before these weights, or None.
"""

from __future__ import annotations

import numpy as np

from specs.shapes import Shape

_CONVOLUTION = 4  # dimensions of the kernel; a dense kernel has two, all other weights one


def to_chainer(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """A weight in Chainer's layout.

    (height, width, in, out) -> (out, in, height, width); (in, out) -> (out, in); vectors are not
    changed, unless an image was flattened before them.
    """
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(3, 2, 0, 1)
    if image is not None:
        rows = weight.reshape(*image, *weight.shape[1:])
        weight = channels_first(rows[None])[0].reshape(weight.shape)
    return weight.T


def from_chainer(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """The inverse of `to_chainer`; a copy."""
    if weight.ndim == _CONVOLUTION:
        return weight.transpose(2, 3, 1, 0).copy()
    weight = weight.T
    if image is not None:
        height, width, channels = image
        rows = weight.reshape(channels, height, width, *weight.shape[1:])
        weight = np.moveaxis(rows, 0, 2).reshape(weight.shape)
    return weight.copy()


def channels_first(images: np.ndarray) -> np.ndarray:
    """Images (n, height, width, channels, ...) as (n, channels, height, width, ...), a view."""
    return np.moveaxis(images, 3, 1)
