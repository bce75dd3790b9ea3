"""Adds the turns of a run to its frame of jobs; the times of a job with turns come from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from bench.records.turns import Member, Turns

# Columns in addition to `jobs.jobs_frame`; for a job without turns they are "" and None.
SESSION, SECONDS = "turns_key", "turn_seconds"
_FIGURES: dict[str, Callable[[Member], float]] = {
    "epoch_seconds": lambda member: float(np.median(member.epoch_seconds)),
    "epoch_cpu_seconds": lambda member: float(np.median(member.epoch_cpu_seconds)),
    "epoch_seconds_low": lambda member: float(member.epoch_seconds.min()),
    "epoch_seconds_high": lambda member: float(member.epoch_seconds.max()),
}


def with_turns(jobs: pd.DataFrame, taken: Iterable[Turns]) -> pd.DataFrame:
    """The frame of jobs, with the times of turns instead of the times of epochs.

    Args:
        jobs: see `jobs.jobs_frame`.
        taken: the turns of the run. If a job has several, the newest count. Refused turns do not.

    Returns:
        A frame with three more columns: the key of the turns; the seconds per epoch in each turn,
        an array (sweeps,); and `epoch_seconds_by_epochs`, the time from the steady epochs.
    """
    jobs = jobs.assign(epoch_seconds_by_epochs=jobs["epoch_seconds"])
    newest: dict[str, tuple[str, Member | None]] = {
        member.job: (turns.key, member)
        for turns in sorted(taken, key=lambda turns: turns.started)
        if not turns.refused
        for member in turns.members
    }
    ok = jobs["status"] == "ok"
    turns_of_jobs = [
        newest.get(str(key), ("", None)) if good else ("", None) for key, good in ok.items()
    ]
    jobs[SESSION] = [session for session, _ in turns_of_jobs]
    jobs[SECONDS] = pd.Series(
        [m and m.epoch_seconds for _, m in turns_of_jobs], jobs.index, dtype=object
    )
    jobs["turns"] = [len(member.turns) if member else 0 for _, member in turns_of_jobs]
    for name, figure in _FIGURES.items():
        by_turns = [figure(member) if member else np.nan for _, member in turns_of_jobs]
        jobs[name] = jobs[name].where(jobs["turns"] == 0, by_turns)
    return jobs
