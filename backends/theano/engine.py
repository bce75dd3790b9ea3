"""Theano's matrix product, convolution and memory, each a function, for measuring their speed."""

from __future__ import annotations

import numpy as np

from backends.contract import Job
from backends.engine import Step
from backends.layout import to_channels_first
from backends.theano.device import configure, theano_settings
from backends.theano.framework import tensor, theano

_IMAGES = 4  # dimensions


class TheanoEngine:
    """`tensor.dot`, `conv2d` and a sum in place. Kernels are shared variables."""

    value_bytes = 4

    def __init__(self, job: Job) -> None:
        configure(job)

    def put(self, values: np.ndarray) -> np.ndarray:
        is_images = values.ndim == _IMAGES
        return np.array(
            values.transpose(0, 3, 1, 2) if is_images else values, np.float32, order="C"
        )

    def read(self, array: np.ndarray) -> np.ndarray:
        is_images = array.ndim == _IMAGES
        return np.array(array.transpose(0, 2, 3, 1) if is_images else array, order="C")

    def matmul(self, kernel: np.ndarray) -> Step:
        x, right = tensor.matrix(), theano.shared(kernel.astype(np.float32))
        return theano.function([x], tensor.dot(x, right))

    def convolution(self, kernel: np.ndarray) -> Step:
        weight = to_channels_first(kernel.astype(np.float32), None)
        x = tensor.tensor4()
        kernels = theano.shared(weight)
        product = tensor.nnet.conv2d(x, kernels, border_mode="half", filter_flip=False)
        return theano.function([x], product)

    def accumulate(self, term: np.ndarray) -> Step:
        x, addend = tensor.vector(), theano.shared(term.astype(np.float32))
        # The sum is written to the memory of the argument.
        return theano.function(
            [theano.In(x, borrow=True, mutable=True)], theano.Out(x + addend, borrow=True)
        )

    def wait(self, array: np.ndarray) -> None:
        """Do nothing: Theano has finished a call when it returns."""

    def settings(self) -> dict[str, str | int | bool | None]:
        return theano_settings()
