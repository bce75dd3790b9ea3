"""What comes before a job's steady state: start-up, and the epochs in which caches fill and compilers work."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.steady import FEWEST_EPOCHS, warm_up_epochs

_PHASES = ["import_wall_seconds", "build_wall_seconds", "load_wall_seconds"]


def warm_ups(frame: pd.DataFrame, contestant: Sequence[str]) -> pd.Series:
    """How many epochs of each row's job are its warm-up: the first, or more where several long jobs show it.

    Args:
        frame: a row per epoch.
        contestant: the columns that tell whose jobs are looked at together.
    """
    found = pd.Series(1, index=frame.index)
    long = frame[(frame["epochs"] >= FEWEST_EPOCHS) & (frame["status"] == "ok")]
    for _, jobs in long.groupby(list(contestant), sort=False):
        epochs = jobs.sort_values("epoch").groupby("key")["train_wall_seconds"].agg(list)
        found[jobs.index] = warm_up_epochs(epochs.tolist())
    return found


def warm_up_seconds(job: pd.DataFrame) -> float:
    """What a job's warm-up took beyond as many steady epochs; not a number where no epoch is known to be steady."""
    early = job["epoch"] <= job["warm_up_epochs"]
    first, later = job.loc[early, "train_wall_seconds"], job.loc[~early, "train_wall_seconds"]
    return float(first.sum() - len(first) * later.median())


def seconds_before_steady(job: pd.DataFrame) -> float:
    """All that a job took before its steady state, and beyond what so many steady epochs take."""
    return float(job[_PHASES].iloc[0].sum(skipna=False)) + warm_up_seconds(job)
