"""Runs rounds of each group until it has enough undisturbed rounds or is precise enough.

A run may be stopped and resumed at any time, as its intervals are valid after every round (see
`bench.statistics.sequential`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, count
from math import isfinite
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.machine.disturbance import reasons, which_count
from bench.records.job import Record, backend_name
from bench.records.turns import Turns
from bench.runner.plan import Group
from bench.runner.task import Observer, TrainingTask
from bench.statistics.judgement import NOT_JUDGED, judgements
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.steady import steady_seconds, warm_ups
from bench.statistics.timing import precision
from bench.statistics.turns import (
    NOTHING_KNOWN,
    JobTimes,
    ProcessSpread,
    compare_turns,
    log_ratios_of,
)
from bench.worker.clock import monotonic_seconds

# At most this many times the requested number of rounds are run to replace disturbed rounds.
_MOST_ROUNDS_FACTOR = 2


class Times(NamedTuple):
    """What the times of jobs are computed from, in addition to their records.

    Attributes:
        taken: key -> the turns; later rounds add theirs while the run goes on.
        spread_of: returns how much two processes of one backend differ on a job's machine.
    """

    taken: Mapping[str, Turns]
    spread_of: Callable[[Record], ProcessSpread]

    def widest_precision(self, records: Sequence[Record]) -> float | None:
        """The precision of a group's least precise ratio, as a share; infinite with too few rounds.

        It is None if no two backends ended ok and agree.
        """
        times = [jobs for jobs in self._by_backend(records).values() if jobs]
        spread = self.spread_of(records[0]) if records else NOTHING_KNOWN
        ratios = [
            compare_turns(log_ratios_of(first, second), spread)
            for first, second in combinations(times, 2)
        ]
        return max((precision(ratio.sure_low, ratio.sure_high) for ratio in ratios), default=None)

    def counted(self, records: Sequence[Record]) -> dict[tuple[int, int], bool]:
        """Round and seed -> whether its times count, in order.

        Times from turns count even on a busy machine, as their intervals show how busy it was.
        """
        turning = self._members()
        repetitions = sorted(set(map(_repetition, records)))
        disturbed = {
            _repetition(record)
            for record in records
            if reasons(record.disturbance) and record.key not in turning
        }
        flags = [repetition in disturbed for repetition in repetitions]
        return dict(zip(repetitions, which_count(flags), strict=True))

    def _by_backend(self, records: Sequence[Record]) -> dict[str, dict[tuple[int, int], JobTimes]]:
        """The times that count, by matched backend, and then by round and seed."""
        judged, warm_up_epochs = judgements(records), warm_ups(records)
        counted, turning = self.counted(records), self._members()
        times: dict[str, dict[tuple[int, int], JobTimes]] = {}
        for record in records:
            counts = record.status == "ok" and judged.get(record.key, NOT_JUDGED).counts
            if record.job.mode != "matched" or not counts or not counted[_repetition(record)]:
                continue
            seconds = steady_seconds(record, warm_up_epochs[record.key])
            session, turns = turning.get(record.key, ("", np.zeros(0)))
            if session or isfinite(seconds):
                of_backend = times.setdefault(backend_name(record.job), {})
                of_backend[_repetition(record)] = JobTimes(session, turns, seconds)
        return times

    def _members(self) -> dict[str, tuple[str, NDArray[np.float64]]]:
        """The key of a job -> the key of its turns, and the seconds of an epoch from each turn."""
        return {
            member.job: (turns.key, member.epoch_seconds)
            for turns in sorted(self.taken.values(), key=lambda turns: turns.started)
            if not turns.refused
            for member in turns.members
        }


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

    @property
    def most_rounds(self) -> int:
        """The number of rounds that are run at most."""
        if self.precision is not None:
            return EVERY_ROUND.last
        return 1 if self.rounds == 1 else _MOST_ROUNDS_FACTOR * self.rounds

    def reason_to_stop(self, records: Sequence[Record], times: Times) -> str:
        """Why a group needs no other round, as text; "" if it needs one.

        Args:
            records: all records of the group, of at least one round.
            times: what their times are computed from.
        """
        rounds = len({record.job.round for record in records})
        seeds = len({record.job.seed for record in records})
        if self.precision is None:
            return self._enough_rounds(rounds, sum(times.counted(records).values()) // seeds)
        widest = times.widest_precision(records)
        if widest is None:
            reason = "no two backends ended ok and agree, so nothing can be compared"
            return f"{_rounds_text(rounds)}: {reason}"
        precise = f"{_precision_text(widest)} after {_rounds_text(rounds)}"
        if widest <= self.precision:
            return precise
        return f"{precise}, the maximum" if rounds * seeds >= EVERY_ROUND.last else ""

    def _enough_rounds(self, rounds: int, undisturbed: int) -> str:
        disturbed = rounds - undisturbed
        text = _rounds_text(rounds) + (f", {disturbed} on a busy machine" if disturbed else "")
        if rounds >= self.rounds == 1 or undisturbed >= self.rounds:
            return text
        return f"{text}: the maximum" if rounds >= _MOST_ROUNDS_FACTOR * self.rounds else ""


def run_rounds(
    groups: Sequence[Group],
    make_tasks: Callable[[Sequence[Group], int], list[TrainingTask]],
    run: Callable[[list[TrainingTask]], list[Record]],
    goal: Goal,
    *,
    times: Times,
    observer: Observer,
) -> tuple[list[Record], list[str]]:
    """Run rounds of all groups until each has enough rounds, or time is up.

    Args:
        groups: see `plan.make_groups`.
        make_tasks: makes the tasks of a round from the groups that need the round, and its number.
        run: runs tasks, see `bench.runner.tasks.run_tasks`.
        goal: decides when a group has enough rounds.
        times: what the times of jobs are computed from.
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
            reason = goal.reason_to_stop(of_group, times) if number + 1 >= goal.least_rounds else ""
            if time_is_up and not reason:
                reason = (
                    f"time is up after {_rounds_text(number + 1)},"
                    f" {_precision_text(times.widest_precision(of_group))}"
                )
            if reason:
                open_groups.remove(group)
                reason_of[groups.index(group)] = reason
        if not open_groups:
            return records, [reason_of[index] for index in range(len(groups))]
    raise AssertionError("every goal ends")


def _precision_text(value: float | None) -> str:
    if value is None or not isfinite(value):
        return "precision unknown: too few rounds"
    return f"precise to {100 * value:.2g} %"


def _rounds_text(number: int) -> str:
    return "1 round" if number == 1 else f"{number} rounds"


def _repetition(record: Record) -> tuple[int, int]:
    return record.job.round, record.job.seed


def _belongs_to(record: Record, group: Group) -> bool:
    job, training = record.job, group.training
    size = training.batch_size or training.workload.recipe.batch_size
    settings = (job.workload, job.batch_size, job.device, job.precision)
    return settings == (training.workload, size, group.device, group.precision)
