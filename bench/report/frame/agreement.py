"""Says which jobs of a frame have results that disagree with those of the other backends.

`bench.statistics.agreement` decides which jobs these are.

In a frame such a job has the status "disagrees", so that all code that takes jobs with the status
"ok" leaves it out.
"""

from __future__ import annotations

import pandas as pd

from bench.report.form import words

DISAGREES = "disagrees"
# (backend, device, machine) -> the workloads on which it disagrees.
Wrong = dict[tuple[str, str, str], list[str]]
_WHO = ["backend", "device", "machine"]


def disagreeing(frame: pd.DataFrame) -> Wrong:
    """The backends that disagree in a frame (see `epochs.epochs_frame`), and on which workloads."""
    found: Wrong = {}
    for backend, device, machine, workload in (
        _jobs(frame)[[*_WHO, "workload"]].drop_duplicates().itertuples(index=False)
    ):
        found.setdefault((str(backend), str(device), str(machine)), []).append(str(workload))
    return found


def headline(frame: pd.DataFrame) -> str:
    """A sentence that says how many results disagree, and which; "" where all agree."""
    wrong, jobs = _jobs(frame), len(frame.drop_duplicates(_job_of(frame)))
    if wrong.empty:
        return ""
    pairs = [
        f"{backend} on {workload}" for backend, workload in _unique(wrong[["backend", "workload"]])
    ]
    verb = "disagrees" if len(wrong) == 1 else "disagree"
    shown = ", ".join(words.first_of(pairs))
    return f"{len(wrong)} of {jobs} results {verb} with the other backends: {shown}"


def lines_of(frame: pd.DataFrame) -> list[str]:
    """A line per job that disagrees: which job, and why."""
    told = {"workload": "{}", "backend": " {}", "device": " {}", "seed": ", seed {}"}
    several = {
        "round": ", round {}",
        "batch_size": ", batch size {}",
        "epochs": ", {} epochs",
        "machine": " on {}",
    }
    ways = frame.groupby("workload", observed=True)[[*several]].nunique().max()
    told |= {name: text for name, text in several.items() if ways[name] > 1}
    jobs = _jobs(frame)
    rows = zip(jobs[[*told]].itertuples(index=False), jobs["reason"], strict=True)
    return words.first_of(
        ["".join(map(str.format, told.values(), row)) + f": {why}" for row, why in rows]
    )


def _jobs(frame: pd.DataFrame) -> pd.DataFrame:
    return frame[frame["status"] == DISAGREES].drop_duplicates(_job_of(frame))


def _job_of(frame: pd.DataFrame) -> list[str]:
    """The columns that tell jobs apart; a frame of several runs also needs the run for that."""
    return [column for column in ("run", "key") if column in frame]


def _unique(frame: pd.DataFrame) -> list[tuple[str, ...]]:
    return list(dict.fromkeys(tuple(map(str, row)) for row in frame.itertuples(index=False)))
