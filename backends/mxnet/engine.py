"""MXNet's matrix product, convolution and memory, for measuring their speed.

Images have the layout in which the adapter trains.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends.contract import Job
from backends.engine import Step
from backends.layout import to_channels_first
from backends.mxnet.device import configure, device_settings
from backends.mxnet.library import mx

_IMAGE_DIMENSIONS = 4  # of an array of images (n, height, width, channels)


class MxnetEngine:
    """`FullyConnected` and `Convolution`, which the layers call, and a sum in place."""

    value_bytes = 4

    def __init__(self, job: Job) -> None:
        configure(job)

    def put(self, values: np.ndarray) -> Any:
        is_images = values.ndim == _IMAGE_DIMENSIONS
        return mx.nd.array(values.transpose(0, 3, 1, 2) if is_images else values, dtype="float32")

    def read(self, array: Any) -> np.ndarray:
        values = array.asnumpy()
        return values.transpose(0, 2, 3, 1) if values.ndim == _IMAGE_DIMENSIONS else values

    def matmul(self, kernel: np.ndarray) -> Step:
        weight = mx.nd.array(to_channels_first(kernel, None), dtype="float32")
        return lambda x: mx.nd.FullyConnected(x, weight, num_hidden=len(weight), no_bias=True)

    def convolution(self, kernel: np.ndarray) -> Step:
        weight = mx.nd.array(to_channels_first(kernel, None), dtype="float32")
        options = {"kernel": kernel.shape[:2], "pad": (1, 1), "num_filter": kernel.shape[3]}
        return lambda x: mx.nd.Convolution(x, weight, no_bias=True, **options)

    def accumulate(self, term: np.ndarray) -> Step:
        addend = self.put(term)

        def step(x: Any) -> Any:
            x += addend
            return x

        return step

    def wait(self, array: Any) -> None:
        array.wait_to_read()

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**device_settings(), "device": "cpu"}
