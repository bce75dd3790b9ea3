"""Adds the turns of a run to its frame of jobs; the times of a job with turns come from them."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd

from bench.machine.disturbance import UNKNOWN, reasons
from bench.records.turns import Member, Turns
from bench.report.frame.columns import GROUP_AND_BACKEND

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
        A frame with more columns: the key of the turns; the seconds per epoch in each turn,
        an array (sweeps,); `epoch_seconds_by_epochs`, the time from the steady epochs; and
        `turns_disturbed`, why the machine was busy during the turns.
    """
    jobs = jobs.assign(epoch_seconds_by_epochs=jobs["epoch_seconds"])
    newest: dict[str, tuple[str, str, Member | None]] = {
        member.job: (turns.key, reasons(turns.disturbance or UNKNOWN), member)
        for turns in sorted(taken, key=lambda turns: turns.started)
        if not turns.refused
        for member in turns.members
    }
    ok = jobs["status"] == "ok"
    none = ("", "", None)
    turns_of_jobs = [newest.get(str(key), none) if good else none for key, good in ok.items()]
    jobs[SESSION] = [session for session, _, _ in turns_of_jobs]
    jobs["turns_disturbed"] = [disturbed for _, disturbed, _ in turns_of_jobs]
    members = [member for _, _, member in turns_of_jobs]
    jobs[SECONDS] = pd.Series([m and m.epoch_seconds for m in members], jobs.index, dtype=object)
    jobs["turns"] = [len(member.turns) if member else 0 for member in members]
    for name, figure in _FIGURES.items():
        by_turns = [figure(member) if member else np.nan for member in members]
        jobs[name] = jobs[name].where(jobs["turns"] == 0, by_turns)
    return jobs


def has_turns(jobs: pd.DataFrame) -> pd.Series[bool]:
    """Whether a job's backend has turns in any round of its group.

    Args:
        jobs: see `with_turns`.
    """
    by_backend = jobs.groupby(GROUP_AND_BACKEND, sort=False, observed=True)["turns"]
    return by_backend.transform("max") > 0


def without_other_rounds(jobs: pd.DataFrame) -> pd.DataFrame:
    """The jobs; if a backend has turns in some rounds, without the times of its other rounds.

    A run on a busy machine may have taken its turns later, when the machine was idle.

    Args:
        jobs: see `with_turns`.
    """
    times = jobs[[*_FIGURES]].mask(has_turns(jobs) & (jobs["turns"] == 0))
    return jobs.assign(**{str(name): times[name] for name in times})
