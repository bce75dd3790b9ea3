"""The interface for measuring an engine: the framework's matrix product, convolution and memory.

The speed of a training is compared with the peak rates of these operations. So an engine is set up
by the same calls as the adapters that train on it. `bench.worker.limits` times and checks it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from backends.contract import Job

Values = npt.NDArray[np.floating[Any]]
# One operation of the framework on an array on the device. Its result has the argument's shape, and
# is the argument of the next operation, so that a compiler cannot omit an operation.
Step = Callable[[Any], Any]


class Engine(Protocol):
    """A framework's arithmetic on a job's device, with the job's threads and precision.

    `value_bytes` is the size in bytes of one factor of a product, and of its result.
    """

    value_bytes: int

    def __init__(self, job: Job) -> None:
        """Set up the framework as the adapters do.

        Raises:
            Unsupported: the framework does not report the job's device.
        """

    def put(self, values: Values) -> Any:
        """A copy of the values on the device, in the layout and the precision of the training.

        Values are matrices, images (n, height, width, channels), or vectors. Vectors are for sums,
        which mixed precision leaves in float32.
        """

    def read(self, array: Any) -> Values:
        """A NumPy copy of a result of `put` or of a step, in the layout of `put`'s argument."""

    def matmul(self, kernel: Values) -> Step:
        """The product x (n, n) -> x @ kernel, for a kernel (n, n)."""

    def convolution(self, kernel: Values) -> Step:
        """The cross-correlation of images with a kernel (3, 3, channels, channels).

        Stride 1; zeros around the image, so that the result has its shape.

        Raises:
            Unsupported: the framework has no convolution.
        """

    def accumulate(self, term: Values) -> Step:
        """The sum x (n,) -> x + term, in x's own memory.

        It reads two arrays and writes one. The caller must not use x again.
        """

    def wait(self, array: Any) -> None:
        """Return only when the array has been computed."""

    def settings(self) -> Mapping[str, str | int | bool | None]:
        """The framework's settings, see `backends.contract.Backend.settings`."""
