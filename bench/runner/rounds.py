"""Runs rounds of each group until it has enough undisturbed rounds or is precise enough.

A run may be stopped and resumed at any time, as its intervals are valid after every round (see
`bench.statistics.sequential`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import combinations, count
from math import isfinite, nan

from msgspec import Struct

from bench.machine.disturbance import reasons, which_count
from bench.records.job import Record, backend_name
from bench.runner.plan import Group
from bench.runner.task import Observer, TrainingTask
from bench.statistics.judgement import NOT_JUDGED, judgements
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.steady import steady_seconds, warm_ups
from bench.statistics.timing import compare, precision
from bench.worker.clock import monotonic_seconds

# At most this many times the requested number of rounds are run to replace disturbed rounds.
_MOST_ROUNDS_FACTOR = 2


class Goal(Struct, frozen=True, kw_only=True):
    """When a group has enough rounds.

    Attributes:
        rounds: if `precision` is None, the number of undisturbed rounds; a group always stops after
            twice as many rounds.
        precision: the largest half-width of every ratio's interval, as a share (0.02 for 2 %); None
            if `rounds` decides.
        seconds: no new round starts after this time; None for no limit.
    """

    rounds: int
    precision: float | None = None
    seconds: float | None = None

    @property
    def least_rounds(self) -> int:
        """The number of rounds that are always run."""
        return self.rounds if self.precision is None else 1

    def reason_to_stop(self, records: Sequence[Record]) -> str:
        """Why a group needs no other round, as text; "" if it needs one.

        Args:
            records: all records of the group, of at least one round.
        """
        rounds = len({record.job.round for record in records})
        seeds = len({record.job.seed for record in records})
        if self.precision is None:
            return self._enough_rounds(rounds, sum(_counted(records).values()) // seeds)
        widest = widest_precision(records)
        if widest is None:
            reason = "no two backends ended ok and agree, so nothing can be compared"
            return f"{_rounds_text(rounds)}: {reason}"
        precise = f"{_precision_text(widest)} after {_rounds_text(rounds)}"
        if widest <= self.precision:
            return precise
        return f"{precise}, the most allowed" if rounds * seeds >= EVERY_ROUND.last else ""

    def _enough_rounds(self, rounds: int, undisturbed: int) -> str:
        disturbed = rounds - undisturbed
        text = _rounds_text(rounds) + (f", {disturbed} on a busy machine" if disturbed else "")
        if rounds >= self.rounds == 1 or undisturbed >= self.rounds:
            return text
        return f"{text}: no more were tried" if rounds >= _MOST_ROUNDS_FACTOR * self.rounds else ""


def run_rounds(
    groups: Sequence[Group],
    make_tasks: Callable[[Sequence[Group], int], list[TrainingTask]],
    run: Callable[[list[TrainingTask]], list[Record]],
    goal: Goal,
    observer: Observer,
) -> tuple[list[Record], list[str]]:
    """Run rounds of all groups until each has enough rounds, or time is up.

    Args:
        groups: see `plan.make_groups`.
        make_tasks: makes the tasks of a round from the groups that need it and its number.
        run: runs tasks, see `bench.runner.tasks.run_tasks`.
        goal: decides when a group has enough rounds.
        observer: shows the tasks as soon as they are planned.

    Returns:
        (all records, and for each group the reason why it has no more rounds)

    Raises:
        the errors of `make_tasks` and `run`; jobs that have ended keep their records.
    """
    started, open_groups, reason_of = monotonic_seconds(), list(groups), dict[int, str]()
    planned = [make_tasks(groups, number) for number in range(goal.least_rounds)]
    observer.planned([task for tasks in planned for task in tasks])
    records: list[Record] = []
    for number in count():
        if number >= len(planned):
            planned.append(make_tasks(open_groups, number))
            observer.planned(planned[number])
        records += run(planned[number])
        time_is_up = goal.seconds is not None and monotonic_seconds() - started >= goal.seconds
        for group in list(open_groups):
            of_group = [record for record in records if _belongs_to(record, group)]
            reason = goal.reason_to_stop(of_group) if number + 1 >= goal.least_rounds else ""
            if time_is_up and not reason:
                reason = (
                    f"time is up after {_rounds_text(number + 1)},"
                    f" {_precision_text(widest_precision(of_group))}"
                )
            if reason:
                open_groups.remove(group)
                reason_of[groups.index(group)] = reason
        if not open_groups:
            return records, [reason_of[index] for index in range(len(groups))]
    raise AssertionError("every goal ends")


def widest_precision(records: Sequence[Record]) -> float | None:
    """The precision of a group's least precise ratio, as a share; infinite with too few rounds.

    It is None if no two backends ended ok and agree.
    """
    times = [seconds for seconds in _times(records).values() if any(map(isfinite, seconds))]
    ratios = [compare(first, second) for first, second in combinations(times, 2)]
    return max((precision(ratio.sure_low, ratio.sure_high) for ratio in ratios), default=None)


def _precision_text(value: float | None) -> str:
    if value is None or not isfinite(value):
        return "too few rounds to say"
    return f"precise to {100 * value:.2g} %"


def _rounds_text(number: int) -> str:
    return "1 round" if number == 1 else f"{number} rounds"


def _times(records: Sequence[Record]) -> dict[str, list[float]]:
    """The steady seconds of each matched backend, one value per repetition that counts.

    The value is NaN if the job failed or its result must not be ranked.
    """
    judged, warm_up_epochs = judgements(records), warm_ups(records)
    counted = [repetition for repetition, counts in _counted(records).items() if counts]
    matched = [record for record in records if record.job.mode == "matched"]
    times = {backend_name(record.job): dict.fromkeys(counted, nan) for record in matched}
    for record in matched:
        repetition, name = _repetition(record), backend_name(record.job)
        counts = record.status == "ok" and judged.get(record.key, NOT_JUDGED).counts
        if counts and repetition in times[name]:
            times[name][repetition] = steady_seconds(record, warm_up_epochs[record.key])
    return {name: list(seconds.values()) for name, seconds in times.items()}


def _counted(records: Sequence[Record]) -> dict[tuple[int, int], bool]:
    """Repetition -> whether its times count, in order."""
    repetitions = sorted(set(map(_repetition, records)))
    disturbed = {_repetition(record) for record in records if reasons(record.disturbance)}
    flags = [repetition in disturbed for repetition in repetitions]
    return dict(zip(repetitions, which_count(flags), strict=True))


def _repetition(record: Record) -> tuple[int, int]:
    return record.job.round, record.job.seed


def _belongs_to(record: Record, group: Group) -> bool:
    job, training = record.job, group.training
    size = training.batch_size or training.workload.recipe.batch_size
    return (job.workload, job.batch_size, job.device) == (training.workload, size, group.device)
