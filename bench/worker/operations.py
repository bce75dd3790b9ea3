"""The operations that measure an engine's limits: their input, their cost and their check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from backends.engine import Engine, Step, Values
from bench.worker.lines import OperationName

SINGLE_BYTES = 4  # a number of float32
_IMAGES, _SIDE, _KERNEL = 32, 32, 3  # the same for every convolution; only its channels vary


class Trial(NamedTuple):
    """One operation of one size.

    Attributes:
        start: the argument of the first step of the first chain.
        step: one call of the operation.
        work: the floating point operations of one step; for "memory" the bytes that it reads and
            writes.
        off: returns the error of a chain of steps. Its arguments are the values before the chain,
            the values after it, and the number of steps. The unit is the root mean square of each
            row of the result (for a sum: one term). A missing step gives an error of 1 or more.
    """

    start: Values
    step: Step
    work: int
    off: Callable[[Values, Values, int], float]


class Operation(NamedTuple):
    """An operation in all its sizes.

    Attributes:
        make: returns the operation of one size.
        sizes: the sizes, in increasing order.
        growth: the factor by which the work grows from one size to the next.
        longest_chain: the most steps of a chain that can be checked.
    """

    make: Callable[[Engine, int], Trial]
    sizes: tuple[int, ...]
    growth: int
    longest_chain: int


def _matmul(engine: Engine, size: int) -> Trial:
    random, rows = np.random.default_rng(0), [0, size // 2, size - 1]
    start = random.standard_normal((size, size), np.float32)
    scale = np.float32(np.sqrt(size))  # with it the result's numbers are as large as the argument's
    kernel = random.standard_normal((size, size), np.float32) / scale

    def off(before: Values, after: Values, steps: int) -> float:
        return _relative(after[rows], _repeated(before[rows], lambda x: x @ kernel, steps))

    return Trial(start, engine.matmul(kernel), 2 * size**3, off)


def _convolution(engine: Engine, channels: int) -> Trial:
    """A convolution; the check computes the centre pixel of two images.

    With every step of a chain this pixel depends on one more pixel on each side.
    """
    random, images, centre = np.random.default_rng(0), [0, _IMAGES - 1], _SIDE // 2
    start = random.standard_normal((_IMAGES, _SIDE, _SIDE, channels), np.float32)
    size = (_KERNEL, _KERNEL, channels, channels)
    kernel = random.standard_normal(size, np.float32) / np.float32(_KERNEL * np.sqrt(channels))
    # As in `specs.shapes`, products with the zeros of the padding count.
    work = 2 * _IMAGES * _SIDE**2 * _KERNEL**2 * channels**2

    def without_padding(x: Values) -> Values:
        windows = np.lib.stride_tricks.sliding_window_view(x, (_KERNEL, _KERNEL), axis=(1, 2))
        return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))

    def off(before: Values, after: Values, steps: int) -> float:
        around = slice(centre - steps, centre + steps + 1)
        pixels = before[images, around, around]
        expected = _repeated(pixels, without_padding, steps)  # (2, 1, 1, channels)
        return _relative(after[images, centre, centre], expected[:, 0, 0])

    return Trial(start, engine.convolution(kernel), work, off)


def _memory(engine: Engine, size: int) -> Trial:
    """A sum of arrays. It adds ones, because whole numbers are exact.

    It uses float32 even if products use bfloat16, which is exact only for whole numbers up to 256.
    Mixed precision also keeps sums, weights and optimizer state in float32.
    """
    value_bytes = max(engine.value_bytes, SINGLE_BYTES)
    values = size // value_bytes
    step = engine.accumulate(np.ones(values, np.float32))

    def off(before: Values, after: Values, steps: int) -> float:
        after -= before  # in place, as these arrays may have 256 MiB each
        return float(max(after.max() - steps, steps - after.min()))

    return Trial(np.zeros(values, np.float32), step, 3 * values * value_bytes, off)


def _relative(actual: Values, expected: Values) -> float:
    """The largest difference of rows (n, values), in units of the expected root mean square."""
    size = np.sqrt(np.mean(np.square(expected, dtype=np.float64), axis=1, keepdims=True))
    return float((np.abs(actual - expected) / size).max())


def _repeated(x: Values, step: Callable[[Values], Values], steps: int) -> Values:
    for _ in range(steps):
        x = step(x)
    return x


OPERATIONS: Mapping[OperationName, Operation] = MappingProxyType(
    {
        # Sizes in rows; the matrices are square.
        "matmul": Operation(_matmul, (128, 256, 512, 1024, 2048, 4096, 8192), 8, 8),
        # Sizes in channels.
        "convolution": Operation(_convolution, (8, 16, 32, 64, 128, 256, 512), 4, 8),
        # Sizes in bytes of an array: 32 bytes measure the launch overhead, then 64 KiB to 256 MiB.
        # Two of the largest are beyond every cache: CPUs have up to 480 MB, GPUs 256 MB. The chain
        # is long, as on a GPU a wait takes as long as a sum. The sums of 20 chains are below 2**24,
        # so they are exact.
        "memory": Operation(_memory, (32, *(2**power for power in range(16, 29, 2))), 4, 512),
    }
)
