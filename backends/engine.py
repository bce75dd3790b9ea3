"""What an engine's own matrix product, convolution and memory reach: the interface between an engine and the bench.

The bench holds a training to these, so an engine is set up by the same calls as the adapters that
train on it. It neither times nor checks: `bench.worker.limits` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from backends.contract import Job

Values = npt.NDArray[np.floating[Any]]
# One real operation of the framework on what lies on the device; its result has the argument's
# shape, so that a result is the next one's argument, and none can be left out.
Step = Callable[[Any], Any]


class Engine(Protocol):
    """A framework's arithmetic on a job's device, with the job's threads and precision.

    `value_bytes` is the size of a number that it computes with.
    """

    value_bytes: int

    def __init__(self, job: Job) -> None:
        """Set up the framework as the adapters do; raise `Unsupported` for a device that it does not report."""

    def put(self, values: Values) -> Any:
        """A copy on the device: vectors, matrices, or images (n, height, width, channels), laid out as in training."""

    def read(self, there: Any) -> Values:
        """The inverse of `put`; a copy."""

    def matmul(self, kernel: Values) -> Step:
        """The product x (n, n) -> x @ kernel, for a kernel (n, n)."""

    def convolution(self, kernel: Values) -> Step:
        """Images -> their cross-correlation with a kernel (3, 3, channels, channels), stride 1, padded with zeros."""

    def accumulate(self, term: Values) -> Step:
        """The sum x (n,) -> x + term, in x's own memory: two arrays read, one written; x must not be used again."""

    def wait(self, there: Any) -> None:
        """Return only when it has been computed."""

    def settings(self) -> Mapping[str, str | int | bool | None]:
        """What the framework itself says of how it is set, see `backends.contract.Backend.settings`."""
