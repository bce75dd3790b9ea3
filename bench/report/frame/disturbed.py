"""Which rows of a frame count for times: those of repetitions in which nothing else disturbed the machine."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.machine.disturbance import which_count

_REPETITION = ["round", "seed"]


def counted(frame: pd.DataFrame, cell: Sequence[str]) -> pd.Series:
    """Per row, whether its repetition counts, see `bench.machine.disturbance.which_count`; all where nothing was looked at.

    Args:
        frame: see `epochs.epochs_frame`.
        cell: the columns that tell cells apart.
    """
    repetition = [*cell, *_REPETITION]
    disturbed = (
        frame.assign(disturbed=frame["disturbed"] != "").groupby(repetition)["disturbed"].any()
    )
    counts = disturbed.groupby(list(cell)).transform(lambda flags: which_count(flags.tolist()))
    return pd.Series(
        counts.reindex(pd.MultiIndex.from_frame(frame[repetition])).to_numpy(), frame.index
    )


def say_disturbed(frame: pd.DataFrame, cell: Sequence[str]) -> list[str]:
    """A line per cell with disturbed repetitions: how many, as by what, and whether they count all the same."""
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
