"""Weights between the specs' layout and PyTorch's: the axes' order, and the order in which an image is flattened."""

from __future__ import annotations

import numpy as np

from specs.shapes import Shape

_KERNEL_DIMENSIONS = 4  # a convolution's; a dense layer's kernel has two


def to_torch(kernel: np.ndarray, image: Shape | None) -> np.ndarray:
    """(height, width, in, out) -> (out, in, height, width); (in, out) -> (out, in), its rows in PyTorch's order."""
    if kernel.ndim == _KERNEL_DIMENSIONS:
        return kernel.transpose(3, 2, 0, 1)
    if image is None:
        return kernel.T
    return kernel.reshape(*image, -1).transpose(3, 2, 0, 1).reshape(kernel.shape[1], -1)


def from_torch(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """The inverse of `to_torch`; a copy."""
    if weight.ndim == _KERNEL_DIMENSIONS:
        return weight.transpose(2, 3, 1, 0).copy()
    if image is None:
        return weight.T.copy()
    height, width, channels = image
    return weight.reshape(-1, channels, height, width).transpose(2, 3, 1, 0).reshape(-1, len(weight)).copy()
