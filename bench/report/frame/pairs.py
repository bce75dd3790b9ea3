"""Compares the times of every two backends of a group, round by round.

A ratio is that of the times of two jobs of one round and seed.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import combinations
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from bench.report.frame.columns import GROUP
from bench.report.frame.places import PLACE_COLUMNS
from bench.statistics.timing import Comparison, compare, correct_for_many, fastest

Group = tuple[Any, ...]  # the values of `columns.GROUP`
Times = dict[str, NDArray[np.float64]]


class Pair(NamedTuple):
    """Two backends of a group; `comparison` is of the time of `backend` divided by that of `other`.

    `workload` is the label of their workload.
    """

    group: Group
    workload: str
    backend: str
    other: str
    comparison: Comparison


class ToFastest(NamedTuple):
    """The time of a backend divided by that of the fastest backend of its group.

    `unsure`: it is undecided whether it is slower at all.
    """

    ratio: float
    unsure: bool


def times_of(jobs: pd.DataFrame, column: str = "epoch_seconds") -> Times:
    """Per backend the time of its job in every round, in seconds: (rounds,).

    NaN if the backend has no job in a round, or its job has no steady epoch. Each seed of a round
    counts as a round of its own.

    Args:
        jobs: see `jobs.jobs_frame`; of one group.
        column: the time to take.
    """
    by_round = jobs.groupby(["round", "seed", "backend"])[column].median()
    # `pivot` (PD010) would need columns; these are an index.
    rounds = by_round.unstack("backend")  # noqa: PD010
    return {str(name): rounds[name].to_numpy() for name in jobs["backend"].unique()}


def pairs_of(jobs: pd.DataFrame) -> list[Pair]:
    """Every two matched backends of every group, compared.

    The verdicts are corrected for the number of pairs of a place, as one table shows them all.

    Args:
        jobs: see `jobs.jobs_frame`; those that did not end ok are left out.
    """
    ok = jobs[(jobs["status"] == "ok") & (jobs["mode"] == "matched")]
    all_pairs: list[Pair] = []
    for _, place in ok.groupby(PLACE_COLUMNS, sort=False, dropna=False):
        pairs = [
            Pair(group, str(rows["label"].iloc[0]), name, other, compare(times[name], times[other]))
            for group, rows in place.groupby(GROUP, sort=False)
            for times in [times_of(rows)]
            for name, other in combinations(times, 2)
        ]
        corrected = correct_for_many([pair.comparison for pair in pairs])
        all_pairs += [
            pair._replace(comparison=comparison)
            for pair, comparison in zip(pairs, corrected, strict=True)
        ]
    return all_pairs


def to_fastest(jobs: pd.DataFrame, pairs: Iterable[Pair]) -> dict[Group, ToFastest]:
    """Each backend of each group against the fastest, by group and backend.

    Only matched backends can be the fastest, unless a group has none.

    Args:
        jobs: see `jobs.jobs_frame`.
        pairs: all pairs of these jobs, see `pairs_of`.
    """
    undecided = {
        (pair.group, frozenset((pair.backend, pair.other))): pair.comparison.outcome == "undecided"
        for pair in pairs
    }
    ratios: dict[Group, ToFastest] = {}
    for group, rows in jobs.groupby(GROUP, sort=False):
        ok, matched = rows[rows["status"] == "ok"], rows["mode"] == "matched"
        times = times_of(ok)
        may_win = set(rows.loc[matched, "backend"]) or set(times)
        best = _fastest({name: times[name] for name in times if name in may_win})
        if best is None:  # no two of them have a round in common
            continue
        for name in times:
            comparison = compare(times[name], times[best])
            unsure = undecided.get(
                (group, frozenset((name, best))), comparison.outcome == "undecided"
            )
            ratios[*group, name] = (
                ToFastest(1.0, unsure=False)
                if name == best
                else ToFastest(comparison.ratio, unsure)
            )
    return ratios


def _fastest(times: Mapping[str, NDArray[np.float64]]) -> str | None:
    """The fastest backend; a backend that is the only one with a time is the fastest, too."""
    timed = {name: times[name] for name in times if np.isfinite(times[name]).any()}
    return next(iter(timed)) if len(timed) == 1 else fastest(timed)
