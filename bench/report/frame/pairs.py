"""Compares the times of every two backends of a group, round by round.

A round of two backends has a ratio per turn, or without turns one ratio from their epochs.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import combinations, pairwise
from math import isfinite
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.frame.columns import GROUP
from bench.report.frame.places import PLACE_COLUMNS
from bench.report.frame.turns import SECONDS, SESSION
from bench.statistics.timing import Comparison, correct_for_many, fastest
from bench.statistics.turns import (
    JobTimes,
    ProcessSpread,
    compare_turns,
    log_ratios_of,
    median_ratio,
)

Group = tuple[Any, ...]  # the values of `columns.GROUP`
Times = dict[str, NDArray[np.float64]]
SpreadOf = Callable[[str], ProcessSpread]  # key of a job -> the spread at its place


class Pair(NamedTuple):
    """Two backends of a group, and their workload's label.

    `comparison` is about the time of `backend` divided by the time of `other`.
    """

    group: Group
    workload: str
    backend: str
    other: str
    comparison: Comparison


class Order(NamedTuple):
    """The backends of a group, fastest first.

    Attributes:
        workload: the label of the workload.
        names: the backends.
        ties: for each backend except the last, whether its pair with the next one has no verdict.
        tied: the pairs without a faster backend.
        decided: the number of other pairs.
    """

    workload: str
    names: tuple[str, ...]
    ties: tuple[bool, ...]
    tied: tuple[Pair, ...]
    decided: int

    @property
    def first(self) -> tuple[str, ...]:
        """The fastest backend, and the backends tied with it."""
        fastest = self.names[0]
        unsure = {
            name
            for pair in self.tied
            if fastest in (pair.backend, pair.other)
            for name in (pair.backend, pair.other)
        }
        return tuple(name for name in self.names if name == fastest or name in unsure)


class ToFastest(NamedTuple):
    """The time of a backend divided by the time of the fastest backend of its group.

    `unsure`: whether it is undecided that the backend is slower.
    """

    ratio: float
    unsure: bool


def timed(jobs: pd.DataFrame) -> dict[str, dict[tuple[int, int], JobTimes]]:
    """Backend -> round and seed -> the times of its job.

    Args:
        jobs: the jobs of one group, see `frame.turns.with_turns`.
    """
    columns = ["backend", "round", "seed", SESSION, SECONDS, "epoch_seconds_by_epochs"]
    times: dict[str, dict[tuple[int, int], JobTimes]] = {}
    for name, number, seed, session, turns, seconds in jobs[columns].itertuples(
        index=False, name=None
    ):
        times.setdefault(str(name), {})[number, seed] = JobTimes(session, turns, seconds)
    return times


def times_of(jobs: pd.DataFrame, column: str = "epoch_seconds") -> Times:
    """Per backend the time of its job in every round, in seconds: (rounds,).

    NaN if the backend has no job in a round, or its job has no steady epoch. Each seed of a round
    counts as a separate round.

    Args:
        jobs: the jobs of one group, see `jobs.jobs_frame`.
        column: the column of the time.
    """
    by_round = jobs.groupby(["round", "seed", "backend"])[column].median()
    # `pivot` (PD010) needs columns, and these are an index.
    rounds = by_round.unstack("backend")  # noqa: PD010
    return {str(name): rounds[name].to_numpy() for name in jobs["backend"].unique()}


def pairs_of(jobs: pd.DataFrame, spread_of: SpreadOf) -> list[Pair]:
    """Compare every two matched backends of every group.

    The verdicts are corrected for the number of pairs of a place, as one table shows all of them.

    Args:
        jobs: see `frame.turns.with_turns`; jobs that did not end ok are left out.
        spread_of: how much two processes of one backend differ.
    """
    ok = jobs[(jobs["status"] == "ok") & (jobs["mode"] == "matched")]
    all_pairs: list[Pair] = []
    for _, place in ok.groupby(PLACE_COLUMNS, sort=False, dropna=False):
        pairs = [
            pair
            for group, rows in place.groupby(GROUP, sort=False)
            for pair in _pairs_of_group(group, rows, spread_of(rows["key"].iloc[0]))
        ]
        corrected = correct_for_many([pair.comparison for pair in pairs])
        all_pairs += [
            pair._replace(comparison=comparison)
            for pair, comparison in zip(pairs, corrected, strict=True)
        ]
    return all_pairs


def _pairs_of_group(group: Group, rows: pd.DataFrame, spread: ProcessSpread) -> list[Pair]:
    times, label = timed(rows), str(rows["label"].iloc[0])
    return [
        Pair(
            group,
            label,
            name,
            other,
            compare_turns(log_ratios_of(times[name], times[other]), spread),
        )
        for name, other in combinations(times, 2)
    ]


def to_fastest(jobs: pd.DataFrame, pairs: Iterable[Pair]) -> dict[Group, ToFastest]:
    """Group and backend -> the backend's time relative to the fastest one.

    Only matched backends can be the fastest, unless a group has none.

    Args:
        jobs: see `frame.turns.with_turns`.
        pairs: all pairs of these jobs, see `pairs_of`.
    """
    undecided = {
        (pair.group, frozenset((pair.backend, pair.other))): pair.comparison.outcome == "undecided"
        for pair in pairs
    }
    ratios: dict[Group, ToFastest] = {}
    for group, rows in jobs.groupby(GROUP, sort=False):
        ok, matched = rows[rows["status"] == "ok"], rows["mode"] == "matched"
        times = timed(ok)
        may_win = set(rows.loc[matched, "backend"]) or set(times)
        best = _fastest({name: times[name] for name in times if name in may_win})
        if best is None:  # no two backends have a round in common
            continue
        for name in times:
            if name == best:
                ratios[*group, name] = ToFastest(1.0, unsure=False)
                continue
            ratio = median_ratio(log_ratios_of(times[name], times[best]))
            unsure = undecided.get((group, frozenset((name, best))), True)
            ratios[*group, name] = ToFastest(ratio, unsure)
    return ratios


def _fastest(times: Mapping[str, Mapping[tuple[int, int], JobTimes]]) -> str | None:
    """The fastest backend; a backend that is the only one with a time is the fastest, too."""
    with_time = [
        name
        for name, jobs in times.items()
        if any(job.session or isfinite(job.epochs) for job in jobs.values())
    ]
    if len(with_time) == 1:
        return with_time[0]
    ratios = {
        (name, other): median_ratio(log_ratios_of(times[name], times[other]))
        for name in with_time
        for other in with_time
        if name != other
    }
    return fastest(ratios)


def orders_of(pairs: Sequence[Pair]) -> list[Order]:
    """The order of the backends of each group.

    Backends are sorted by the number of slower backends, by the ratios; the largest comes first.

    Args:
        pairs: see `pairs_of`.
    """
    by_group: dict[Group, list[Pair]] = {}
    for pair in pairs:
        if isfinite(pair.comparison.ratio):
            by_group.setdefault(pair.group, []).append(pair)
    return [_order(of_group) for of_group in by_group.values()]


def _order(pairs: Sequence[Pair]) -> Order:
    """The order of the backends of one group."""
    wins: dict[str, int] = {}
    for pair in pairs:
        first_wins = pair.comparison.ratio < 1
        wins[pair.backend] = wins.get(pair.backend, 0) + first_wins
        wins[pair.other] = wins.get(pair.other, 0) + (not first_wins)
    names = tuple(sorted(wins, key=lambda name: -wins[name]))
    sure = {
        frozenset((pair.backend, pair.other))
        for pair in pairs
        if pair.comparison.outcome in ("faster", "slower")
    }
    return Order(
        workload=pairs[0].workload,
        names=names,
        ties=tuple(frozenset(neighbours) not in sure for neighbours in pairwise(names)),
        tied=tuple(pair for pair in pairs if frozenset((pair.backend, pair.other)) not in sure),
        decided=len(sure),
    )
