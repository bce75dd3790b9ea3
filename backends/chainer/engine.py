"""Chainer's matrix product, convolution and memory, for measuring their speed.

Images have the layout in which the adapter trains.
"""

from __future__ import annotations

import chainer
import numpy as np
from chainer import functions

from backends.chainer.device import chainer_settings, configure
from backends.contract import Job
from backends.engine import Step
from backends.layout import batch_to_channels_first, to_channels_first

_IMAGE_DIMENSIONS = 4  # of an array of images (n, height, width, channels)


class ChainerEngine:
    """`functions.matmul`, `functions.convolution_2d`, and NumPy's sum in place, without a graph."""

    value_bytes = 4

    def __init__(self, job: Job) -> None:
        configure(job)
        chainer.config.enable_backprop = False

    def put(self, values: np.ndarray) -> np.ndarray:
        is_images = values.ndim == _IMAGE_DIMENSIONS
        return np.array(
            batch_to_channels_first(values) if is_images else values, np.float32, order="C"
        )

    def read(self, array: np.ndarray) -> np.ndarray:
        return (
            array.transpose(0, 2, 3, 1).copy() if array.ndim == _IMAGE_DIMENSIONS else array.copy()
        )

    def matmul(self, kernel: np.ndarray) -> Step:
        right = self.put(kernel)
        return lambda x: functions.matmul(x, right).array

    def convolution(self, kernel: np.ndarray) -> Step:
        weight = to_channels_first(kernel.astype(np.float32), None)
        return lambda x: functions.convolution_2d(x, weight, pad=1).array

    def accumulate(self, term: np.ndarray) -> Step:
        addend = self.put(term)
        return lambda x: np.add(x, addend, out=x)

    def wait(self, array: np.ndarray) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**chainer_settings(), "dtype": "float32", "device": "cpu"}
