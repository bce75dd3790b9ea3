"""The operations whose rates are an engine's limits: where each starts, what it costs, and how a result is checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

import numpy as np

from backends.engine import Engine, Step, Values
from bench.worker.lines import OperationName

_IMAGES, _SIDE, _KERNEL = 32, 32, 3  # of every convolution; its channels vary


class Trial(NamedTuple):
    """An operation of a size: where its chains start, one step, its work, and how far off a result is.

    `off` takes what a chain began with, what it ended with, and its number of steps; in units of
    the result's root mean square, row by row (of a sum: of one term), so that a step left out is 1
    or more.
    """

    start: Values
    step: Step
    work: int
    off: Callable[[Values, Values, int], float]


class Operation(NamedTuple):
    """How an operation is made of a size, in which sizes, and by how much its work grows from one to the next."""

    make: Callable[[Engine, int], Trial]
    sizes: tuple[int, ...]
    growth: int


def _matmul(engine: Engine, size: int) -> Trial:
    random, rows = np.random.default_rng(0), [0, size // 2, size - 1]
    start = random.standard_normal((size, size), np.float32)
    kernel = random.standard_normal((size, size), np.float32) / np.float32(
        np.sqrt(size)
    )  # keeps the result's size

    def off(before: Values, after: Values, steps: int) -> float:
        return _relative(after[rows], _repeated(before[rows], lambda x: x @ kernel, steps))

    return Trial(start, engine.matmul(kernel), 2 * size**3, off)


def _convolution(engine: Engine, channels: int) -> Trial:
    """The middle pixel of two images is checked; it depends on one more pixel to each side with every step."""
    random, images, middle = np.random.default_rng(0), [0, _IMAGES - 1], _SIDE // 2
    start = random.standard_normal((_IMAGES, _SIDE, _SIDE, channels), np.float32)
    size = (_KERNEL, _KERNEL, channels, channels)
    kernel = random.standard_normal(size, np.float32) / np.float32(_KERNEL * np.sqrt(channels))
    work = (
        2 * _IMAGES * _SIDE**2 * _KERNEL**2 * channels**2
    )  # as `specs.shapes` counts: the border's zeros included

    def inner(x: Values) -> Values:
        windows = np.lib.stride_tricks.sliding_window_view(x, (_KERNEL, _KERNEL), axis=(1, 2))
        return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))

    def off(before: Values, after: Values, steps: int) -> float:
        around = slice(middle - steps, middle + steps + 1)
        expected = _repeated(before[images, around, around], inner, steps)  # (2, 1, 1, channels)
        return _relative(after[images, middle, middle], expected[:, 0, 0])

    return Trial(start, engine.convolution(kernel), work, off)


def _memory(engine: Engine, size: int) -> Trial:
    """Ones are added: whole numbers, exact in every precision."""
    values = size // engine.value_bytes
    step = engine.accumulate(np.ones(values, np.float32))

    def off(before: Values, after: Values, steps: int) -> float:
        return float(np.abs(after - before - steps).max())

    return Trial(np.zeros(values, np.float32), step, 3 * values * engine.value_bytes, off)


def _relative(found: Values, expected: Values) -> float:
    """The largest difference of rows (n, values), each in units of what it should be."""
    size = np.sqrt(np.mean(np.square(expected, dtype=np.float64), axis=1, keepdims=True))
    return float((np.abs(found - expected) / size).max())


def _repeated(x: Values, step: Callable[[Values], Values], steps: int) -> Values:
    for _ in range(steps):
        x = step(x)
    return x


OPERATIONS: Mapping[OperationName, Operation] = MappingProxyType(
    {
        "matmul": Operation(
            _matmul, (128, 256, 512, 1024, 2048, 4096, 8192), 8
        ),  # rows and columns
        "convolution": Operation(_convolution, (8, 16, 32, 64, 128, 256, 512), 4),  # channels
        # Bytes of an array: so few that the call is all it costs, then 64 KiB to 64 MiB.
        "memory": Operation(_memory, (32, *(2**power for power in range(16, 27, 2))), 4),
    }
)
