"""The operations whose rates are an engine's limits: their input, their cost, and their check."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from backends.engine import Engine, Step, Values
from bench.worker.lines import OperationName

_IMAGES, _SIDE, _KERNEL = 32, 32, 3  # of every convolution; its channels vary


class Trial(NamedTuple):
    """One operation of one size.

    Attributes:
        start: the argument of the first step of the first chain.
        step: one call of the operation.
        work: floating point operations of one step; for "memory" the bytes that it reads and
            writes.
        off: returns the error of a chain's result, from the values before the chain, those after
            it, and its number of steps. The unit is the root mean square of the result, row by row
            (of a sum: one term), so that a step that was left out gives 1 or more.
    """

    start: Values
    step: Step
    work: int
    off: Callable[[Values, Values, int], float]


class Operation(NamedTuple):
    """An operation of every size.

    Attributes:
        make: returns the operation of one size.
        sizes: the sizes, in growing order.
        growth: the factor by which the work grows from one size to the next.
    """

    make: Callable[[Engine, int], Trial]
    sizes: tuple[int, ...]
    growth: int


def _matmul(engine: Engine, size: int) -> Trial:
    random, rows = np.random.default_rng(0), [0, size // 2, size - 1]
    start = random.standard_normal((size, size), np.float32)
    scale = np.float32(np.sqrt(size))  # so that the result's numbers are as large as the argument's
    kernel = random.standard_normal((size, size), np.float32) / scale

    def off(before: Values, after: Values, steps: int) -> float:
        return _relative(after[rows], _repeated(before[rows], lambda x: x @ kernel, steps))

    return Trial(start, engine.matmul(kernel), 2 * size**3, off)


def _convolution(engine: Engine, channels: int) -> Trial:
    """Check the middle pixel of two images.

    With every step it depends on one more pixel to each side.
    """
    random, images, middle = np.random.default_rng(0), [0, _IMAGES - 1], _SIDE // 2
    start = random.standard_normal((_IMAGES, _SIDE, _SIDE, channels), np.float32)
    size = (_KERNEL, _KERNEL, channels, channels)
    kernel = random.standard_normal(size, np.float32) / np.float32(_KERNEL * np.sqrt(channels))
    # Counted as in `specs.shapes`: with the zeros of the border.
    work = 2 * _IMAGES * _SIDE**2 * _KERNEL**2 * channels**2

    def inner(x: Values) -> Values:
        windows = np.lib.stride_tricks.sliding_window_view(x, (_KERNEL, _KERNEL), axis=(1, 2))
        return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))

    def off(before: Values, after: Values, steps: int) -> float:
        around = slice(middle - steps, middle + steps + 1)
        expected = _repeated(before[images, around, around], inner, steps)  # (2, 1, 1, channels)
        return _relative(after[images, middle, middle], expected[:, 0, 0])

    return Trial(start, engine.convolution(kernel), work, off)


def _memory(engine: Engine, size: int) -> Trial:
    """Add ones, as whole numbers are exact in every precision."""
    values = size // engine.value_bytes
    step = engine.accumulate(np.ones(values, np.float32))

    def off(before: Values, after: Values, steps: int) -> float:
        return float(np.abs(after - before - steps).max())

    return Trial(np.zeros(values, np.float32), step, 3 * values * engine.value_bytes, off)


def _relative(found: Values, expected: Values) -> float:
    """The largest difference of rows (n, values), in units of the expected root mean square."""
    size = np.sqrt(np.mean(np.square(expected, dtype=np.float64), axis=1, keepdims=True))
    return float((np.abs(found - expected) / size).max())


def _repeated(x: Values, step: Callable[[Values], Values], steps: int) -> Values:
    for _ in range(steps):
        x = step(x)
    return x


OPERATIONS: Mapping[OperationName, Operation] = MappingProxyType(
    {
        # Rows, which are as many as columns.
        "matmul": Operation(_matmul, (128, 256, 512, 1024, 2048, 4096, 8192), 8),
        # Channels.
        "convolution": Operation(_convolution, (8, 16, 32, 64, 128, 256, 512), 4),
        # Bytes of an array: first so few that only the call costs time, then 64 KiB to 64 MiB.
        "memory": Operation(_memory, (32, *(2**power for power in range(16, 27, 2))), 4),
    }
)
