"""What comes before a job's steady state: start-up, and the epochs in which caches fill and compilers work."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.statistics.steady import FEWEST_EPOCHS, warm_up_epochs

PHASES = ["import_wall_seconds", "build_wall_seconds", "load_wall_seconds"]


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


def warm_up_seconds(frame: pd.DataFrame) -> pd.Series:
    """Per job (by `key`) what its warm-up took beyond as many steady epochs; not a number if none is known."""
    early = frame["epoch"] <= frame["warm_up_epochs"]
    first = frame[early].groupby("key")["train_wall_seconds"].agg(["sum", "size"])
    return (
        first["sum"] - first["size"] * frame[~early].groupby("key")["train_wall_seconds"].median()
    )


def seconds_before_steady(frame: pd.DataFrame) -> pd.Series:
    """Per job (by `key`) all that it took before its steady state, and beyond what so many steady epochs take."""
    return frame.groupby("key")[PHASES].first().sum(axis=1, skipna=False) + warm_up_seconds(frame)
