"""Finds the rows of a frame whose times count.

A time counts if no other work disturbed the machine in its repetition (a round of one seed), or if
such disturbance is usual in its cell.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.machine.disturbance import which_count

_REPETITION = ["round", "seed"]


def counted(frame: pd.DataFrame, cell: Sequence[str]) -> pd.Series:
    """Whether each row's repetition counts; see `bench.machine.disturbance.which_count`.

    All rows count where no disturbance was recorded.

    Args:
        frame: see `epochs.epochs_frame`.
        cell: the columns that tell cells apart.
    """
    repetition = [*cell, *_REPETITION]
    flagged = frame.assign(disturbed=frame["disturbed"] != "")
    disturbed = flagged.groupby(repetition)["disturbed"].any()
    counts = disturbed.groupby(list(cell)).transform(lambda flags: which_count(flags.tolist()))
    of_each_row = pd.MultiIndex.from_frame(frame[repetition])
    return pd.Series(counts.reindex(of_each_row).to_numpy(), frame.index)


def say_disturbed(frame: pd.DataFrame, cell: Sequence[str]) -> list[str]:
    """A line per cell with disturbed repetitions: how many, an example, and whether they count."""
    lines = []
    for _, whole in frame.groupby(list(cell), sort=False):
        every = whole.drop_duplicates(_REPETITION).shape[0]
        rows = whole[whole["disturbed"] != ""]
        if rows.empty:
            continue
        some, why = rows.drop_duplicates(_REPETITION).shape[0], rows["disturbed"].iloc[0]
        fate = "count all the same" if rows["counts"].all() else "are left out of times"
        first = rows.iloc[0]
        of = "the only round was" if every == 1 else f"{some} of {every} rounds were"
        fate = "" if every == 1 else f"; they {fate}"
        lines.append(f"{first['workload']} {first['device']}: {of} disturbed (as: {why}){fate}.")
    return lines
