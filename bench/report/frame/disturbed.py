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
from bench.report.form.words import listed, seconds
from bench.report.frame.columns import GROUP
from bench.report.frame.turns import has_turns

_ROUND = ["round", "seed"]
_COUNTED = "they are counted, because this is usual here"
_LEFT_OUT = "their times are left out"
_IN_TURNS = "this was while backends took turns: ratios of time are less sure"
_BESIDE_TURNS = "this affects start-up and time to accuracy; epoch times come from turns"
_BY_EPOCHS = "epoch_seconds_by_epochs"
_APART = 1.5  # a factor; the epochs of an idle machine scatter by less


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
    by_turns, machines = has_turns(jobs), jobs["machine"].nunique()
    groups: dict[tuple[str, str], list[_Rounds]] = defaultdict(list)
    for column, note, watched in (
        ("turns_disturbed", _IN_TURNS, jobs["turns"] > 0),
        ("disturbed", _BESIDE_TURNS, by_turns),
        ("disturbed", "", ~by_turns),
    ):
        for _, rows in jobs[watched].groupby(GROUP, sort=False, observed=True):
            disturbed = rows[rows[column] != ""]
            if disturbed.empty:
                continue
            first = disturbed.iloc[0]
            place = f"{first['device']} of {first['machine']}" if machines > 1 else first["device"]
            effect = note or (_COUNTED if disturbed["counts"].all() else _LEFT_OUT)
            groups[str(place), effect].append(
                _Rounds(
                    str(first["workload"]),
                    len(disturbed.drop_duplicates(_ROUND)),
                    len(rows.drop_duplicates(_ROUND)),
                    str(first[column]),
                )
            )
    return [_line(of_place, place, effect) for (place, effect), of_place in groups.items()]


def say_unlike(jobs: pd.DataFrame) -> list[str]:
    """A line per job whose own epochs and turns differ much, although the machine was not busy.

    Turns repeat the first steps of the training in the same process, so they should take as long.

    Args:
        jobs: see `bench.report.frame.turns.with_turns`.
    """
    quiet = jobs[(jobs["turns"] > 0) & (jobs["disturbed"] == "") & (jobs["turns_disturbed"] == "")]
    factors = quiet[_BY_EPOCHS] / quiet["epoch_seconds"]
    lines = []
    for index in factors.index[(factors >= _APART) | (factors <= 1 / _APART)]:
        job, factor = quiet.loc[index], factors[index]
        name = f"{job['workload']} {job['backend']} {job['device']}"
        alone, by_turns = (seconds(job[column]) for column in (_BY_EPOCHS, "epoch_seconds"))
        lines.append(
            f"{name}: its epochs took {alone} while it trained alone, {by_turns} by turns (a factor"
            f" of {max(factor, 1 / factor):.2g}), and the machine was not busy: its speed is less"
            " sure."
        )
    return lines


class _Rounds(NamedTuple):
    """The rounds of a group, how many of them were disturbed, and by what."""

    workload: str
    disturbed: int
    rounds: int
    example: str


def _line(groups: Sequence[_Rounds], place: str, effect: str) -> str:
    workloads = listed(list(dict.fromkeys(group.workload for group in groups)))
    disturbed = sum(group.disturbed for group in groups)
    rounds = sum(group.rounds for group in groups)
    is_only = rounds == len(groups)
    which = "in the only round" if is_only else f"in {disturbed} of {rounds} rounds"
    examples = dict.fromkeys(group.example for group in groups)
    example = next(iter(examples)) if len(examples) == 1 else f"such as: {next(iter(examples))}"
    end = "" if is_only and effect == _COUNTED else f"; {effect}"
    return f"{workloads} {place}: the machine was busy {which} ({example}){end}."
