"""JAX's matrix product, convolution and memory, each compiled, for measuring their speed."""

from __future__ import annotations

import jax
import numpy as np
from jax import Array, lax
from jax import numpy as jnp

from backends.contract import Job
from backends.engine import Step
from backends.jax import device


class JaxEngine:
    """`jnp.matmul`, `lax.conv_general_dilated` and a sum, under `jit`.

    Kernels are arguments of the compiled functions, not constants in them.
    """

    def __init__(self, job: Job) -> None:
        self._device = device.require_device(job)
        self._kind = jnp.dtype(jnp.bfloat16 if job.precision == "bfloat16" else jnp.float32)
        self.value_bytes = self._kind.itemsize

    def put(self, values: np.ndarray) -> Array:
        # A copy, as an array on a CPU may share NumPy's memory, and `accumulate` overwrites it.
        return jnp.array(values, self._kind if values.ndim > 1 else jnp.float32, copy=True)

    def read(self, array: Array) -> np.ndarray:
        return np.array(array, np.float32)

    def matmul(self, kernel: np.ndarray) -> Step:
        right, product = self.put(kernel), jax.jit(jnp.matmul)
        return lambda x: product(x, right)

    def convolution(self, kernel: np.ndarray) -> Step:
        weight, layouts = self.put(kernel), ("NHWC", "HWIO", "NHWC")
        convolve = jax.jit(
            lambda x, k: lax.conv_general_dilated(x, k, (1, 1), "SAME", dimension_numbers=layouts)
        )
        return lambda x: convolve(x, weight)

    def accumulate(self, term: np.ndarray) -> Step:
        # The sum is written to the memory of the first argument.
        addend, add = self.put(term), jax.jit(jnp.add, donate_argnums=0)
        return lambda x: add(x, addend)

    def wait(self, array: Array) -> None:
        jax.block_until_ready(array)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**device.jax_settings(), "device": str(self._device)}
