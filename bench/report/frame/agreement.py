"""Says which jobs have results that disagree with those of the other backends.

`bench.statistics.agreement` decides which jobs these are.

In a frame such a job has the status "disagrees", so that all code that takes jobs with the status
"ok" leaves it out. All functions take a frame with a row per job, see `jobs.jobs_frame`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.report.form import words

DISAGREES = "disagrees"
# (backend, device, machine) -> the workloads on which it disagrees.
Wrong = dict[tuple[str, str, str], list[str]]


def disagreeing(jobs: pd.DataFrame) -> Wrong:
    """The backends that disagree, and on which workloads."""
    wrong: Wrong = {}
    columns = ["backend", "device", "machine", "workload"]
    for backend, device, machine, workload in _unique(_wrong(jobs)[columns]):
        wrong.setdefault((backend, device, machine), []).append(workload)
    return wrong


def headline(jobs: pd.DataFrame) -> str:
    """A sentence that says how many results disagree, and which; "" where all agree."""
    wrong = _wrong(jobs)
    if wrong.empty:
        return ""
    pairs = [
        f"{backend} on {workload}" for backend, workload in _unique(wrong[["backend", "workload"]])
    ]
    verb = "disagrees" if len(wrong) == 1 else "disagree"
    shown = ", ".join(words.first_of(pairs))
    return f"{len(wrong)} of {len(jobs)} results {verb} with the other backends: {shown}"


def lines_of(jobs: pd.DataFrame) -> list[str]:
    """A line per job that disagrees: which job, and why."""
    formats = {"workload": "{}", "backend": " {}", "device": " {}", "seed": ", seed {}"}
    optional_formats = {
        "round": ", round {}",
        "batch_size": ", batch size {}",
        "epochs": ", {} epochs",
        "machine": " on {}",
    }
    counts = jobs.groupby("workload")[[*optional_formats]].nunique().max()
    formats |= {name: text for name, text in optional_formats.items() if counts[name] > 1}
    wrong = _wrong(jobs)
    rows = zip(wrong[[*formats]].itertuples(index=False), wrong["reason"], strict=True)
    return words.first_of(
        ["".join(map(str.format, formats.values(), row)) + f": {why}" for row, why in rows]
    )


def _wrong(jobs: pd.DataFrame) -> pd.DataFrame:
    return jobs[jobs["status"] == DISAGREES]


def _unique(frame: pd.DataFrame) -> Iterable[tuple[str, ...]]:
    return frame.astype(str).drop_duplicates().itertuples(index=False, name=None)
