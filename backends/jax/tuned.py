"""JAX with convolutions and max pooling that are faster on CPUs."""

from __future__ import annotations

from jax import Array
from jax import numpy as jnp

from backends.contract import Job
from backends.jax import device
from backends.jax.layers import Pool
from backends.jax.scan import Jax


def max_pool_by_comparisons(x: Array, window: tuple[int, int]) -> Array:
    """`backends.jax.layers.max_pool`, by comparing the values of a window one after the other.

    The gradient goes to the first of equal maxima, as that of `lax.reduce_window` does. With NaN in
    a window the result is NaN in both; then only the gradients differ.

    The gradient of `lax.reduce_window` is a `select_and_scatter`, which XLA runs on a CPU value by
    value: 42 ms a step of the CNN, and 1.4 ms here.
    """
    height, width = (size // step * step for size, step in zip(x.shape[1:3], window, strict=True))
    places = [(row, column) for row in range(window[0]) for column in range(window[1])]
    first, *others = (
        x[:, row : height : window[0], column : width : window[1], :] for row, column in places
    )
    largest = first
    for value in others:
        largest = jnp.where((value > largest) | jnp.isnan(value), value, largest)
    return largest


class JaxTuned(Jax):
    """On CPUs no YNNPACK, and max pooling by comparisons; see also its variables."""

    def __init__(self, job: Job) -> None:
        device.switch_off_ynnpack()
        super().__init__(job)

    def _pool(self) -> Pool:
        return max_pool_by_comparisons if self._device.platform == "cpu" else super()._pool()
