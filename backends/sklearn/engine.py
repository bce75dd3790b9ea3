"""scikit-learn's matrix product and memory, for measuring their speed."""

from __future__ import annotations

import numpy as np
from sklearn.utils.extmath import safe_sparse_dot

from backends.contract import Job, Unsupported
from backends.engine import Step
from backends.sklearn.device import configure, thread_settings


class ScikitLearnEngine:
    """`safe_sparse_dot`, which every layer calls, and a sum in place; both are NumPy's."""

    value_bytes = 4

    def __init__(self, job: Job) -> None:
        configure(job)

    def put(self, values: np.ndarray) -> np.ndarray:
        return np.array(values, np.float32)

    def read(self, array: np.ndarray) -> np.ndarray:
        return array.copy()

    def matmul(self, kernel: np.ndarray) -> Step:
        right = self.put(kernel)
        return lambda x: safe_sparse_dot(x, right)

    def convolution(self, kernel: np.ndarray) -> Step:
        del kernel
        raise Unsupported("scikit-learn has no convolution")

    def accumulate(self, term: np.ndarray) -> Step:
        addend = self.put(term)
        return lambda x: np.add(x, addend, out=x)

    def wait(self, array: np.ndarray) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**thread_settings(), "dtype": "float32", "device": "cpu"}
