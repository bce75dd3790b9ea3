"""Finds the jobs whose times count.

A time counts if no other work disturbed the machine in its round (of one seed), or if most of the
first rounds of its group were disturbed.
"""

from __future__ import annotations

import pandas as pd

from bench.machine.disturbance import which_count
from bench.report.frame.columns import GROUP

_ROUND = ["round", "seed"]


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
    """A line per group with disturbed rounds: how many, an example, and whether they count."""
    lines = []
    groups = jobs[jobs["disturbed"] != ""][GROUP].drop_duplicates()
    if groups.empty:
        return []
    for _, rows in jobs.merge(groups).groupby(GROUP, sort=False):
        disturbed, first = rows[rows["disturbed"] != ""], rows.iloc[0]
        rounds, busy = (len(part.drop_duplicates(_ROUND)) for part in (rows, disturbed))
        which = "in the only round" if rounds == 1 else f"in {busy} of {rounds} rounds"
        counts = disturbed["counts"].all()
        usual = "they are counted, because this is usual here"
        note = usual if counts else "their times are left out"
        lines.append(
            f"{first['workload']} {first['device']}: the machine was busy {which}"
            f" ({disturbed['disturbed'].iloc[0]}){'' if rounds == 1 else f'; {note}'}."
        )
    return lines
