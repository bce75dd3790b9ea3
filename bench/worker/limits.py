"""Measures the limits of an engine, in one process of the engine's environment.

An operation is run in chains: each result is the argument of the next call. So if a call were left
out, by a mistake or by a compiler, the result would be wrong. NumPy recomputes a part of the last
timed chain of every size.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from backends.contract import Unsupported
from backends.engine import Engine
from bench.worker import clock as measure
from bench.worker.adapter import load_adapter
from bench.worker.assignment import MeasureLimits
from bench.worker.lines import OperationName, Reached, Settings
from bench.worker.operations import OPERATIONS, Trial
from bench.worker.tell import Tell

# A size is tried if one operation is expected to take at most `_LONGEST_SECONDS`. It is measured
# for about `_SIZE_SECONDS`. Larger sizes reach no higher rates.
_LONGEST_SECONDS = 0.3
_SIZE_SECONDS = 0.15
# A chain takes long compared with the clock and the wait at its end, but is short enough to be
# checked.
_CHAIN_SECONDS = 0.02
# Repeats: at least a few, as the best one is taken; at most 20, as the numbers grow with every step
# (to 1e14; the largest float32 is 1e38).
_FEWEST, MOST_REPEATS = 3, 20
# The largest allowed error of a result, in units of the root mean square of its row (of a sum: in
# units of one term). It is far above rounding (TF32: 0.001) and far below the error of a missing
# step (1 or more).
_TOLERANCE = 0.05


class Wrong(Exception):  # noqa: N818 - not an error of the program: what was timed was not the work
    """The result of an operation is not correct."""


def work(assignment: MeasureLimits, tell: Tell) -> None:
    """Measure every operation of the engine, and report each of its sizes.

    An operation that the engine does not have is left out.

    Raises:
        Unsupported: the engine cannot work on the device.
        Wrong: a result is not correct.
    """
    engine: Engine = load_adapter(assignment)(assignment.job)
    tell(Settings(settings=dict(engine.settings()), value_bytes=engine.value_bytes))
    for reached in reach(engine, measure.Clock()):
        tell(reached)


def reach(engine: Engine, clock: measure.Clock) -> Iterator[Reached]:
    """Measure every operation in growing sizes, until one would take too long.

    An operation that the engine does not have is left out.

    Raises:
        Wrong: a result is not correct.
    """
    for name, operation in OPERATIONS.items():
        for size in operation.sizes:
            try:
                trial = operation.make(engine, size)
            except Unsupported:
                break
            reached = _time(engine, trial, name, size, clock)
            yield reached
            if reached.seconds * operation.growth > _LONGEST_SECONDS:
                break


def _time(
    engine: Engine, trial: Trial, operation: OperationName, size: int, clock: measure.Clock
) -> Reached:
    def chain(x: Any, steps: int) -> tuple[float, Any]:
        def work() -> Any:
            there = x
            for _ in range(steps):
                there = trial.step(there)
            engine.wait(there)
            return there

        phase, there = measure.measure(operation, work, measure.no_wait, clock)
        return phase.wall_seconds, there

    _, x = chain(engine.put(trial.start), 1)  # a first call may compile
    once, x = chain(x, 1)
    longest = OPERATIONS[operation].longest_chain
    steps = int(min(max(_CHAIN_SECONDS / max(once, 1e-9), 1), longest))
    repeats = int(min(max(_SIZE_SECONDS / max(once * steps, 1e-9), _FEWEST), MOST_REPEATS))
    seconds = []
    for _ in range(repeats - 1):
        took, x = chain(x, steps)
        seconds.append(took / steps)
    before = engine.read(x)
    took, x = chain(x, steps)
    off = trial.off(before, engine.read(x), steps)
    if not off <= _TOLERANCE:  # true for NaN, too
        raise Wrong(
            f"{operation} of size {size}: the result is off by {off:.2g}, so what was timed was not"
            " the work"
        )
    best = min(*seconds, took / steps)
    return Reached(
        operation=operation, size=size, work=trial.work, seconds=best, repeats=repeats, chain=steps
    )
