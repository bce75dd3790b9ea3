"""Lets the workers of a group take turns, and times each turn.

The workers have trained their jobs, and wait. In every sweep each of them trains once, for half a
second or more. So the times of two backends are seconds apart, and what slows the machine down for
longer affects both. The order of a sweep is random; the next sweep has the opposite order.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from itertools import combinations
from math import ceil

import numpy as np
from msgspec import Struct

from backends.contract import steps_per_call
from bench.records.job import Record
from bench.records.turns import Member, Turns
from bench.runner.process import Worker
from bench.statistics.turns import median_error
from bench.worker.assignment import TurnCommand
from bench.worker.lines import Turn

SWEEPS = 9
# About, for a turn with its overhead, and for the start of a worker whose job has ended before.
TURN_SECONDS, START_SECONDS = 1.0, 10.0
# A loaded machine takes more sweeps, until the median ratios of half of the pairs have a standard
# error of 6 % (about the difference of two processes), but at most 15. If a precision is wanted,
# the ratios of all pairs count, and there are at most 40.
_ERROR, _MOST_SWEEPS, _MOST_PRECISE = 0.06, 15, 40
# The least seconds of a turn and of a sweep: few backends take longer turns, for precise ratios.
_SECONDS, _SWEEP_SECONDS = 0.5, 2.0
_SETTLING = 3  # sweeps that are not measured, at most
_LITTLE_LONGER = 1.25  # if a turn must become longer by more, settling goes on
_TIMEOUT = 600.0  # seconds; a turn that takes longer ends the turns of its backend


class Wanted(Struct, frozen=True, kw_only=True):
    """How many turns are wanted.

    Attributes:
        sweeps: the least number of turns of each backend; 0 for no turns.
        precision: the half-width of every ratio's interval, as a share; the turns of a round are
            made precise enough for it. None if no precision is wanted.
        most: the largest number of turns of each backend; None for 15, or 40 with a wanted
            precision.
    """

    sweeps: int = SWEEPS
    precision: float | None = None
    most: int | None = None

    def suffices(self, earlier: Turns | None) -> bool:
        """Whether turns of an earlier call are enough, or were refused."""
        return earlier is not None and (bool(earlier.refused) or earlier.sweeps >= self.sweeps)


class _Slice(Struct):
    """The part of an epoch that a worker trains in a turn.

    Attributes:
        seconds: the shortest time of a turn.
        call: the examples of one call of its adapter; part of an epoch consists of whole calls.
        in_epoch: the examples of an epoch.
        fastest: the shortest time of an epoch so far, in seconds.
        epochs, examples: see `TurnCommand`.
    """

    seconds: float
    call: int
    in_epoch: int
    fastest: float
    epochs: int
    examples: int

    @property
    def share(self) -> float:
        """The part of an epoch."""
        return self.epochs * self.examples / self.in_epoch

    def fit(self) -> None:
        """Choose the part so that a turn takes `seconds` or slightly more.

        If an epoch takes more than twice as long, a turn trains a part of it.
        """
        if self.fastest <= 2 * self.seconds:
            self.epochs, self.examples = ceil(self.seconds / self.fastest), self.in_epoch
            return
        calls = ceil(self.seconds / self.fastest * self.in_epoch / self.call)
        self.epochs, self.examples = 1, min(calls * self.call, self.in_epoch)


class Session:
    """The turns of some workers.

    Args:
        workers: the waiting workers, by the key of their job.
        records: the records of their jobs, by the same key.
        new: the keys of the workers that were started for the turns alone.
        on_sweep: is called with the number of finished sweeps.
    """

    def __init__(
        self,
        workers: Mapping[str, Worker],
        records: Mapping[str, Record],
        new: set[str],
        on_sweep: Callable[[int], None],
    ) -> None:
        self._workers, self._records = dict(workers), records
        self._new, self._on_sweep = new, on_sweep
        seconds = max(_SECONDS, _SWEEP_SECONDS / max(len(workers), 1))
        self._slices = {key: _slice_of(records[key], seconds) for key in workers}
        self._turns: dict[str, list[Turn]] = {key: [] for key in workers}
        self._orders: list[list[str]] = []
        self._random = np.random.default_rng(len(workers))

    def run(self, wanted: Wanted) -> None:
        """Take turns until there are enough; a worker that dies or hangs leaves the session."""
        for _ in range(_SETTLING):
            if self._settle():
                break
        while len(self._workers) > 1 and not self._is_enough(wanted):
            order = self._next_order()
            turns = {key: self._turn(key) for key in order}
            if None in turns.values():  # an incomplete sweep does not count
                continue
            self._orders.append(order)
            for key, turn in turns.items():
                self._turns[key] += [turn] if turn else []
            self._on_sweep(len(self._orders))

    @property
    def members(self) -> tuple[Member, ...]:
        """The workers that took all turns."""
        return tuple(
            Member(
                job=key,
                backend=self._records[key].job.backend,
                is_new=key in self._new,
                share=self._slices[key].share,
                turns=tuple(self._turns[key]),
            )
            for key in self._workers
        )

    @property
    def orders(self) -> tuple[tuple[int, ...], ...]:
        """For each sweep, the indices of the members in the order of their turns."""
        index = {key: number for number, key in enumerate(self._workers)}
        return tuple(tuple(index[key] for key in order if key in index) for order in self._orders)

    def _settle(self) -> bool:
        """Take a sweep that is not measured; True if no turn has to become much longer.

        A process may compile in its first turn, and the time of a first epoch says little.
        """
        settled = True
        for key in list(self._workers):
            turn, part = self._turn(key), self._slices[key]
            if turn is None:
                continue
            before = part.share
            part.fastest = min(part.fastest, turn.wall_seconds / before)
            part.fit()
            settled &= part.share <= _LITTLE_LONGER * before
        return settled

    def _next_order(self) -> list[str]:
        """A random order; every second time the reverse of the last one."""
        if len(self._orders) % 2:
            return [key for key in reversed(self._orders[-1]) if key in self._workers]
        keys = list(self._workers)
        return [keys[index] for index in self._random.permutation(len(keys))]

    def _turn(self, key: str) -> Turn | None:
        """Let a worker take a turn; None if it died, and is then left out."""
        if key not in self._workers:
            return None
        part = self._slices[key]
        command = TurnCommand(epochs=part.epochs, examples=part.examples)
        turn = self._workers[key].turn(command, _TIMEOUT)
        if turn is None:
            del self._workers[key]
        return turn

    def _is_enough(self, wanted: Wanted) -> bool:
        """Whether there are enough sweeps.

        The number of sweeps depends on the scatter of the turns, not on which backend is faster. So
        it makes no verdict more probable.
        """
        count = len(self._orders)
        usual = _MOST_SWEEPS if wanted.precision is None else _MOST_PRECISE
        most = max(wanted.sweeps, usual if wanted.most is None else wanted.most)
        if count < wanted.sweeps or count >= most:
            return count >= most
        logs = [np.log([turn.wall_seconds for turn in self._turns[key]]) for key in self._workers]
        errors = median_error(np.array([first - second for first, second in combinations(logs, 2)]))
        if wanted.precision is None:
            return bool(np.quantile(errors, 0.5, method="lower") <= _ERROR)
        return bool(errors.max() <= wanted.precision / 4)


def _slice_of(record: Record, seconds: float) -> _Slice:
    """A worker's first slice; its first turns may change it."""
    examples, batch_size = record.data.train_examples, record.job.batch_size
    in_epoch = examples
    if record.job.workload.recipe.last_partial_batch == "drop":
        in_epoch -= examples % batch_size
    part = _Slice(
        seconds=seconds,
        call=steps_per_call(record.job, examples) * batch_size,
        in_epoch=in_epoch,
        fastest=min(epoch.training.wall_seconds for epoch in record.epochs),
        epochs=1,
        examples=in_epoch,
    )
    part.fit()
    return part
