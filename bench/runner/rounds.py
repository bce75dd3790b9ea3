"""Runs rounds until there are enough: so many undisturbed ones, or as many as a precision takes.

Both may be stopped and resumed at any time: what is said of the rounds holds after each of them,
see `bench.statistics.sequential`. A group that has enough rounds is not run again while others are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, count
from math import isfinite, nan

from msgspec import Struct

from bench.machine import disturbance
from bench.records.job import Record, backend_name
from bench.runner.plan import Group
from bench.runner.task import Observer, TrainingTask
from bench.statistics.agreement import agreement
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.steady import steady_seconds, warm_ups
from bench.statistics.timing import compare, precision
from bench.worker.clock import monotonic_seconds

# To get as many undisturbed rounds as were asked for, at most this many times that number are run.
_MOST_ROUNDS_FACTOR = 2


class Goal(Struct, frozen=True, kw_only=True):
    """When a group has enough rounds.

    Attributes:
        rounds: if `precision` is None, the number of undisturbed rounds to reach; a group stops
            after twice as many rounds in any case.
        precision: the largest allowed half-width of every ratio's interval, as a share (0.02 for 2
            %); None: `rounds` decides. The run also stops at the most rounds allowed.
        seconds: the time limit: no new round starts after it; None: no limit.
    """

    rounds: int
    precision: float | None = None
    seconds: float | None = None

    @property
    def least_rounds(self) -> int:
        """The number of rounds that are run whatever they show."""
        return self.rounds if self.precision is None else 1

    def reason_to_stop(self, records: Sequence[Record]) -> str:
        """Why a group needs no other round, in words; "" if it needs one.

        Args:
            records: all of the group's, of at least one round.
        """
        rounds = len({record.job.round for record in records})
        seeds = len({record.job.seed for record in records})
        if self.precision is None:
            return self._enough_rounds(rounds, sum(_counted(records).values()) // seeds)
        widest = widest_precision(records)
        if widest is None:
            return (
                f"{rounds_in_words(rounds)}: no two backends ended ok and agree, so nothing can be"
                " compared"
            )
        if widest <= self.precision:
            return f"{precision_in_words(widest)} after {rounds_in_words(rounds)}"
        if rounds * seeds >= EVERY_ROUND.last:
            return f"{precision_in_words(widest)} after {rounds_in_words(rounds)}, the most allowed"
        return ""

    def _enough_rounds(self, rounds: int, undisturbed: int) -> str:
        if rounds >= self.rounds == 1 or undisturbed >= self.rounds:
            lost = rounds - undisturbed
            return rounds_in_words(rounds) + (f", {lost} on a busy machine" if lost else "")
        if rounds >= _MOST_ROUNDS_FACTOR * self.rounds:
            return (
                f"{rounds_in_words(rounds)}, {rounds - undisturbed} on a busy machine: no more were"
                " tried"
            )
        return ""


def run_rounds(
    groups: Sequence[Group],
    make_tasks: Callable[[Sequence[Group], int], list[TrainingTask]],
    run: Callable[[list[TrainingTask]], list[Record]],
    goal: Goal,
    observer: Observer,
) -> tuple[list[Record], list[str]]:
    """Run rounds of all groups until each has enough, or time is up.

    Args:
        groups: see `plan.make_groups`.
        make_tasks: makes the tasks of a round, given the groups that are still open and its number.
        run: runs tasks, see `bench.runner.tasks.run_tasks`.
        goal: when a group has enough rounds.
        observer: told what will be run, as soon as it is known.

    Returns:
        every record, and per group why it has no more rounds, in words.

    Raises:
        what `make_tasks` and `run` raise; the jobs that ended before have their records.
    """
    began, open_groups, reasons = monotonic_seconds(), list(groups), dict[int, str]()
    planned = [make_tasks(groups, number) for number in range(goal.least_rounds)]
    observer.planned([task for tasks in planned for task in tasks])
    records: list[Record] = []
    for number in count():
        if number >= len(planned):
            planned.append(make_tasks(open_groups, number))
            observer.planned(planned[number])
        records += run(planned[number])
        time_is_up = goal.seconds is not None and monotonic_seconds() - began >= goal.seconds
        for group in list(open_groups):
            of_group = [record for record in records if _belongs_to(record, group)]
            reason = goal.reason_to_stop(of_group) if number + 1 >= goal.least_rounds else ""
            if time_is_up and not reason:
                reason = (
                    f"time is up after {rounds_in_words(number + 1)},"
                    f" {precision_in_words(widest_precision(of_group))}"
                )
            if reason:
                open_groups.remove(group)
                reasons[groups.index(group)] = reason
        if not open_groups:
            return records, [reasons[place] for place in range(len(groups))]
    raise AssertionError("rounds end")


def widest_precision(records: Sequence[Record]) -> float | None:
    """The precision of a group's least precise ratio, as a share; infinite with too few rounds.

    It is None where no two backends ended ok and agree. Tables show the same intervals.
    """
    times = [seconds for seconds in _times(records).values() if any(map(isfinite, seconds))]
    pairs = [compare(ours, theirs) for ours, theirs in combinations(times, 2)]
    return max((precision(pair.sure_low, pair.sure_high) for pair in pairs), default=None)


def precision_in_words(value: float | None) -> str:
    """How precise a group's ratios are, in words."""
    if value is None or not isfinite(value):
        return "too few rounds to say"
    return f"precise to {100 * value:.2g} %"


def rounds_in_words(number: int) -> str:
    """A number of rounds, in words."""
    return "1 round" if number == 1 else f"{number} rounds"


def _times(records: Sequence[Record]) -> dict[str, list[float]]:
    """The seconds of every matched backend's jobs, one per round and seed that counts.

    They are those of `steady.steady_seconds`; not a number for a job that failed or disagrees.
    """
    disagreements, early = agreement(records), warm_ups(records)
    counted = [place for place, counts in _counted(records).items() if counts]
    matched = [record for record in records if record.job.mode == "matched"]
    times = {backend_name(record.job): dict.fromkeys(counted, nan) for record in matched}
    for record in matched:
        place, name = (record.job.round, record.job.seed), backend_name(record.job)
        agrees = record.status == "ok" and not disagreements.get(record.key)
        if agrees and place in times[name]:
            times[name][place] = steady_seconds(record, early[record.key])
    return {name: list(seconds.values()) for name, seconds in times.items()}


def _counted(records: Sequence[Record]) -> dict[tuple[int, int], bool]:
    """Every round and seed in order, and whether its times count."""
    places = sorted({(record.job.round, record.job.seed) for record in records})
    disturbed = {
        (record.job.round, record.job.seed)
        for record in records
        if disturbance.reasons(record.disturbance)
    }
    flags = [place in disturbed for place in places]
    return dict(zip(places, disturbance.which_count(flags), strict=True))


def _belongs_to(record: Record, group: Group) -> bool:
    job, training = record.job, group.training
    size = training.batch_size or training.workload.recipe.batch_size
    return (job.workload, job.batch_size, job.device) == (training.workload, size, group.device)
