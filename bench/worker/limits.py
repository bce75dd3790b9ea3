"""The limits of an engine, in its environment: `python -m bench.worker.limits assignment.json lines.jsonl START`.

An operation is run in chains, each result the next one's argument, so that none can be left out, by
us or a compiler, without a wrong result; the last timed chain of every size is computed again, in
part, by NumPy.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
from msgspec import Struct

from backends.contract import Job
from backends.engine import Engine
from bench.worker import clock as measure
from bench.worker.adapter import load_class
from bench.worker.lines import End, OperationName, Reached, Setting
from bench.worker.operations import OPERATIONS, Trial
from bench.worker.tell import Tell, tell_all

# A size is tried if one operation should take no longer, and for about this long; rates grow no
# more by then.
_LONGEST_SECONDS = 0.3
_SIZE_SECONDS = 0.15
# A chain is long enough for the clock and the wait at its end to be nothing, and no longer than can
# be checked.
_CHAIN_SECONDS, LONGEST_CHAIN = 0.02, 8
# Repeats: some, as the best is taken; no more, as numbers grow with every step (to 1e14; float32
# ends at 1e38).
_FEWEST, MOST_REPEATS = 3, 20
# How far off a result may be, in units of its rows' root mean squares (of a sum: of one term): far
# above what rounding leaves (TF32: 0.001), far below a step left out (1 and more).
_TOLERANCE = 0.05


class Assignment(Struct, frozen=True, kw_only=True):
    """What the process is told: a job whose device, threads and precision count, the engine "module:Class", its package."""

    job: Job
    engine: str
    package: str = ""


class Settled(Struct, frozen=True, kw_only=True, tag="settled"):
    """What the framework says of how it is set, and the bytes of a number that it computes with."""

    settings: dict[str, Setting]
    value_bytes: int


Line = Settled | Reached | End


class Wrong(Exception):  # noqa: N818 - not an error of the program: what was timed was not the work
    """An operation's result is not what it should be."""


def reach(engine: Engine, clock: measure.Clock) -> Iterator[Reached]:
    """Every operation in growing sizes, until one would take too long.

    Raises:
        Wrong: a result is not what it should be.
    """
    for name, operation in OPERATIONS.items():
        for size in operation.sizes:
            found = _time(engine, operation.make(engine, size), name, size, clock)
            yield found
            if found.seconds * operation.growth > _LONGEST_SECONDS:
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

    _, x = chain(engine.put(trial.start), 1)  # what is built at a first call is built
    once, x = chain(x, 1)
    steps = int(min(max(_CHAIN_SECONDS / max(once, 1e-9), 1), LONGEST_CHAIN))
    repeats = int(min(max(_SIZE_SECONDS / max(once * steps, 1e-9), _FEWEST), MOST_REPEATS))
    seconds = []
    for _ in range(repeats - 1):
        took, x = chain(x, steps)
        seconds.append(took / steps)
    before = engine.read(x)
    took, x = chain(x, steps)
    off = trial.off(before, engine.read(x), steps)
    if not off <= _TOLERANCE:  # also what is not a number
        raise Wrong(
            f"{operation} of size {size}: the result is off by {off:.2g}, so what was timed was not"
            " the work"
        )
    best = min(*seconds, took / steps)
    return Reached(
        operation=operation, size=size, work=trial.work, seconds=best, repeats=repeats, chain=steps
    )


def main(assignment_path: str, lines_path: str, start: str) -> None:
    """Do the assignment; what cannot be done is told too."""
    assignment = msgspec.json.decode(Path(assignment_path).read_bytes(), type=Assignment)

    def work(_tell: Tell) -> Iterator[Settled | Reached]:
        engine: Engine = load_class(assignment.engine, assignment.package)(assignment.job)
        yield Settled(settings=dict(engine.settings()), value_bytes=engine.value_bytes)
        yield from reach(engine, measure.Clock())

    tell_all(lines_path, start, work)


if __name__ == "__main__":
    main(*sys.argv[1:])
