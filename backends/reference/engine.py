"""NumPy's matrix product, convolution and memory, for measuring their speed.

They are computed in float64, as in the reference, and a convolution by the same calls.
"""

from __future__ import annotations

import numpy as np

from backends.contract import Job, Unsupported
from backends.engine import Step


class ReferenceEngine:
    """`@`, `np.tensordot` over windows, and a sum in place."""

    value_bytes = 8

    def __init__(self, job: Job) -> None:
        if job.device != "cpu":
            raise Unsupported("the reference runs on the CPU only")

    def put(self, values: np.ndarray) -> np.ndarray:
        return np.array(values, np.float64)

    def read(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def matmul(self, kernel: np.ndarray) -> Step:
        right = self.put(kernel)
        return lambda x: x @ right

    def convolution(self, kernel: np.ndarray) -> Step:
        weight = self.put(kernel)

        def step(x: np.ndarray) -> np.ndarray:
            padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
            windows = np.lib.stride_tricks.sliding_window_view(
                padded, weight.shape[:2], axis=(1, 2)
            )
            # The result's axes are n, height, width, channels.
            return np.tensordot(windows, weight, axes=((4, 5, 3), (0, 1, 2)))

        return step

    def accumulate(self, term: np.ndarray) -> Step:
        addend = self.put(term)
        return lambda x: np.add(x, addend, out=x)

    def wait(self, array: np.ndarray) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def settings(self) -> dict[str, str | int | bool | None]:
        return {"dtype": "float64", "device": "cpu"}
