"""The interface for measuring an engine: its own matrix product, convolution and memory.

The speed of a training is compared with what these operations reach. So an engine is set up by the
same calls as the adapters that train on it. It does not time or check; `bench.worker.limits` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from backends.contract import Job

Values = npt.NDArray[np.floating[Any]]
# One real operation of the framework on an array on the device. Its result has the argument's
# shape: each result is the next operation's argument, so that no compiler can leave one out.
Step = Callable[[Any], Any]


class Engine(Protocol):
    """A framework's arithmetic on a job's device, with the job's threads and precision.

    `value_bytes` is the size of one number, in bytes.
    """

    value_bytes: int

    def __init__(self, job: Job) -> None:
        """Set up the framework as the adapters do.

        Raises:
            Unsupported: the framework does not report the job's device.
        """

    def put(self, values: Values) -> Any:
        """A copy of the values on the device, in the layout of the training.

        Values are vectors, matrices, or images (n, height, width, channels).
        """

    def read(self, there: Any) -> Values:
        """A copy in NumPy of what `put` or a step returned, in the layout of `put`'s argument."""

    def matmul(self, kernel: Values) -> Step:
        """The product x (n, n) -> x @ kernel, for a kernel (n, n)."""

    def convolution(self, kernel: Values) -> Step:
        """The cross-correlation of images with a kernel (3, 3, channels, channels).

        Stride 1; zeros around the image, so that the result has its shape.
        """

    def accumulate(self, term: Values) -> Step:
        """The sum x (n,) -> x + term, in x's own memory.

        It reads two arrays and writes one. The caller must not use x again.
        """

    def wait(self, there: Any) -> None:
        """Return only when the array has been computed."""

    def settings(self) -> Mapping[str, str | int | bool | None]:
        """The framework's settings, see `backends.contract.Backend.settings`."""
