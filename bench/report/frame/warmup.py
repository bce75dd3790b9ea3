"""Measures what comes before a job's steady state: its start-up and its warm-up.

The warm-up are the epochs in which caches fill and compilers work.
"""

from __future__ import annotations

import pandas as pd

PHASES = ["import_wall_seconds", "build_wall_seconds", "load_wall_seconds"]


def warm_up_seconds(frame: pd.DataFrame) -> pd.Series:
    """Per job (by `key`) the seconds that its warm-up took longer than as many steady epochs.

    The value is not a number where a job has no steady epoch.
    """
    early = frame["epoch"] <= frame["warm_up_epochs"]
    first = frame[early].groupby("key")["train_wall_seconds"].agg(["sum", "size"])
    median = frame[~early].groupby("key")["train_wall_seconds"].median()
    return first["sum"] - first["size"] * median


def seconds_before_steady(frame: pd.DataFrame) -> pd.Series:
    """Per job (by `key`) the seconds of its start-up, and those of `warm_up_seconds`.

    The value is not a number where a part is not known.
    """
    return frame.groupby("key")[PHASES].first().sum(axis=1, skipna=False) + warm_up_seconds(frame)
