"""Finds the jobs whose times count.

A time counts if no other work disturbed the machine in its round (of one seed), or if most of the
first rounds of its group were disturbed.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

import pandas as pd

from bench.machine.disturbance import which_count
from bench.report.form.words import listed
from bench.report.frame.columns import GROUP

_ROUND = ["round", "seed"]
_COUNTED = "they are counted, because this is usual here"
_LEFT_OUT = "their times are left out"
_IN_TURNS = "while backends took turns: ratios of time are less sure"
_BESIDE_TURNS = (
    "this affects start-up and time to accuracy, but not epoch times, which come from turns"
)


def counted(jobs: pd.DataFrame) -> pd.Series:
    """Whether each job's round counts; see `bench.machine.disturbance.which_count`.

    All jobs count if no disturbance was recorded.

    Args:
        jobs: a row per job.
    """
    whole_round = [*GROUP, *_ROUND]
    flagged = jobs.assign(disturbed=jobs["disturbed"] != "")
    disturbed = flagged.groupby(whole_round)["disturbed"].any()
    counts = disturbed.groupby(GROUP).transform(lambda flags: which_count(flags.tolist()))
    of_each_job = pd.MultiIndex.from_frame(jobs[whole_round])
    return pd.Series(counts.reindex(of_each_job).to_numpy(), jobs.index)


def say_disturbed(jobs: pd.DataFrame) -> list[str]:
    """A line for groups that a busy machine affects in the same way, with an example.

    Args:
        jobs: see `bench.report.frame.turns.with_turns`.
    """
    rounds: dict[tuple[str, str], list[_Rounds]] = defaultdict(list)
    for _, rows in jobs.groupby(GROUP, sort=False):
        first = rows.iloc[0]
        for column, note in _effects(rows).items():
            watched = rows[rows["turns"] > 0] if note == _IN_TURNS else rows
            disturbed = watched[watched[column] != ""]
            of_group = _Rounds(
                str(first["workload"]),
                len(disturbed.drop_duplicates(_ROUND)),
                len(watched.drop_duplicates(_ROUND)),
                disturbed[column].iloc[0],
            )
            rounds[str(first["device"]), note].append(of_group)
    return [_line(groups, device, note) for (device, note), groups in rounds.items()]


class _Rounds(NamedTuple):
    """The rounds of a group, how many of them were disturbed, and by what."""

    workload: str
    disturbed: int
    rounds: int
    example: str


def _effects(rows: pd.DataFrame) -> dict[str, str]:
    """What a busy machine affects in a group: the column that says so -> the effect."""
    effects = {}
    if (rows["turns_disturbed"] != "").any():
        effects["turns_disturbed"] = _IN_TURNS
    disturbed = rows[rows["disturbed"] != ""]
    if len(disturbed) and rows["turns"].any():
        effects["disturbed"] = _BESIDE_TURNS
    elif len(disturbed):
        effects["disturbed"] = _COUNTED if disturbed["counts"].all() else _LEFT_OUT
    return effects


def _line(groups: Sequence[_Rounds], device: str, note: str) -> str:
    workloads = listed(list(dict.fromkeys(group.workload for group in groups)))
    disturbed = sum(group.disturbed for group in groups)
    rounds = sum(group.rounds for group in groups)
    is_only = len(groups) == 1 and rounds == 1
    which = "in the only round" if is_only else f"in {disturbed} of {rounds} rounds"
    examples = dict.fromkeys(group.example for group in groups)
    example = next(iter(examples)) if len(examples) == 1 else f"such as: {next(iter(examples))}"
    effect = "" if is_only and note == _COUNTED else f"; {note}"
    return f"{workloads} {device}: the machine was busy {which} ({example}){effect}."
