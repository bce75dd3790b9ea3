"""Runs rounds until there are enough: so many undisturbed ones, or as many as a precision takes.

Both may be stopped and resumed at any time: what is said of the rounds holds at every look, see
`bench.statistics.sequential`. A cell (a workload on a device) that has enough is not run again
while others go on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, count
from math import isfinite, nan

from msgspec import Struct

from bench.machine import disturbance
from bench.records.job import Record, backend_name
from bench.runner.plan import Group
from bench.runner.task import DataTask, Observer
from bench.statistics.agreement import agreement
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.steady import steady_seconds, warm_ups
from bench.statistics.timing import compare, precision
from bench.worker.clock import monotonic_seconds

# To get as many undisturbed rounds as were asked for, at most this many times that number are made.
_PATIENCE = 2


class Goal(Struct, frozen=True, kw_only=True):
    """When a run has enough rounds.

    Attributes:
        rounds: it has so many undisturbed ones, where `precision` is None.
        precision: every ratio's interval is this narrow, as a share to either side; None: the
            number of rounds counts.
        seconds: no round begins later than this after the first; None: no limit.
    """

    rounds: int
    precision: float | None = None
    seconds: float | None = None

    @property
    def certain(self) -> int:
        """The number of rounds that are made whatever they show."""
        return self.rounds if self.precision is None else 1

    def enough(self, records: Sequence[Record]) -> str:
        """Why a cell needs no other round, in words; "" if it needs one.

        Args:
            records: all of the cell's, of at least one round.
        """
        made, seeds = (
            len({getattr(record.job, what) for record in records}) for what in ("round", "seed")
        )
        if self.precision is None:
            counted = sum(_counted(records).values()) // seeds
            if made >= self.rounds == 1 or counted >= self.rounds:
                lost = "" if counted == made else f", of which {made - counted} disturbed"
                return f"{said_rounds(made)}{lost}"
            if made >= _PATIENCE * self.rounds:
                return (
                    f"{said_rounds(made)}, of which {made - counted} disturbed: no more were tried"
                )
            return ""
        found = widest(records)
        if found is None:
            return (
                f"{said_rounds(made)}: no two contestants ended ok and agree, so there is nothing"
                " to compare"
            )
        if found <= self.precision:
            return f"{said(found)} after {said_rounds(made)}"
        if made * seeds >= EVERY_ROUND.last:
            return f"{said(found)} after {said_rounds(made)}, the most that count"
        return ""


def said(found: float | None) -> str:
    """How precise a cell's ratios are, in words."""
    if found is None or not isfinite(found):
        return "too few rounds to say"
    return f"precise to {100 * found:.2g} %"


def widest(records: Sequence[Record]) -> float | None:
    """The precision of a cell's least precise ratio, as a share; None without two to compare.

    It is None where no two contestants ended ok and agree, and infinite with too few rounds.
    """
    times = [processes for processes in _times(records).values() if any(map(isfinite, processes))]
    pairs = [compare(ours, theirs) for ours, theirs in combinations(times, 2)]
    # Tables show the same intervals.
    return max((precision(pair.sure_low, pair.sure_high) for pair in pairs), default=None)


def _times(records: Sequence[Record]) -> dict[str, list[float]]:
    """The times of every matched contestant in seconds, one per round and seed that counts.

    For a time see `steady.steady_seconds`. A job that failed or disagrees has no time: it is not a
    number.
    """
    agrees, early = agreement(records), warm_ups(records)
    counted = [one for one, counts in _counted(records).items() if counts]
    matched = [record for record in records if record.job.mode == "matched"]
    found = {backend_name(record.job): dict.fromkeys(counted, nan) for record in matched}
    for record in matched:
        one = (record.job.round, record.job.seed)
        if (
            record.status == "ok"
            and not agrees.get(record.key)
            and one in found[backend_name(record.job)]
        ):
            found[backend_name(record.job)][one] = steady_seconds(record, early[record.key])
    return {name: list(processes.values()) for name, processes in found.items()}


def _counted(records: Sequence[Record]) -> dict[tuple[int, int], bool]:
    """Every repetition (round, seed) in order, and whether it counts."""
    every = sorted({(record.job.round, record.job.seed) for record in records})
    those = {
        (record.job.round, record.job.seed)
        for record in records
        if disturbance.say(record.disturbance)
    }
    return dict(zip(every, disturbance.which_count([one in those for one in every]), strict=True))


def said_rounds(number: int) -> str:
    """A number of rounds, in words."""
    return "1 round" if number == 1 else f"{number} rounds"


def run_rounds(
    cells: Sequence[Group],
    tasks_of: Callable[[Sequence[Group], int], list[DataTask]],
    run: Callable[[list[DataTask]], list[Record]],
    goal: Goal,
    observer: Observer,
) -> tuple[list[Record], list[str]]:
    """Run rounds of all cells until each has enough, or time is up.

    Args:
        cells: see `plan.make_groups`.
        tasks_of: the tasks of a round, given the cells that are still open and its number.
        run: runs tasks, see `bench.runner.jobs.run_tasks`.
        goal: what is enough.
        observer: told what will be run, as soon as it is known.

    Returns:
        every record, and per cell why it has no more rounds, in words.

    Raises:
        what `tasks_of` and `run` raise; the jobs that ended before have their records.
    """
    began, open_cells, ends = monotonic_seconds(), list(cells), dict[int, str]()
    ahead = [tasks_of(cells, turn) for turn in range(goal.certain)]
    observer.planned([task for tasks in ahead for task in tasks])
    records: list[Record] = []
    for turn in count():
        if turn >= len(ahead):
            ahead.append(tasks_of(open_cells, turn))
            observer.planned(ahead[turn])
        records += run(ahead[turn])
        up = goal.seconds is not None and monotonic_seconds() - began >= goal.seconds
        for cell in list(open_cells):
            own = [record for record in records if _is_of(record, cell)]
            why = goal.enough(own) if turn + 1 >= goal.certain else ""
            if up and not why:
                why = f"time is up after {said_rounds(turn + 1)}, {said(widest(own))}"
            if why:
                open_cells.remove(cell)
                ends[cells.index(cell)] = why
        if not open_cells:
            return records, [ends[number] for number in range(len(cells))]
    raise AssertionError("rounds end")


def _is_of(record: Record, group: Group) -> bool:
    training, device = group
    size = training.batch_size or training.workload.recipe.batch_size
    job = record.job
    return (job.workload, job.batch_size, job.device) == (training.workload, size, device)
