"""Says which results are in doubt: wrong, in disagreement, suspect, or unconfirmed.

`bench.statistics.judgement` decides which these are.

In a frame such a result has its doubt as its status (unless it is only unconfirmed), so that all
code that takes jobs with the status "ok" leaves it out. All functions take a frame with a row per
job, see `jobs.jobs_frame`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.report.form import words

# The status of results that are never ranked -> its meaning, for one result and for several.
_MEANINGS = {
    "wrong": ("differs from the reference", "differ from the reference"),
    "disagrees": ("disagrees with the other backends", "disagree with the other backends"),
    "suspect": ("is suspect", "are suspect"),
}
EXCLUDED = tuple(_MEANINGS)
# (backend, device, machine) -> its statuses in words, each with the workloads.
Doubts = dict[tuple[str, str, str], str]


def doubts_of(jobs: pd.DataFrame) -> Doubts:
    """What is in doubt of each backend, e.g. "disagrees here on cnn"."""
    on: dict[tuple[str, str, str], dict[str, list[str]]] = {}
    columns = ["backend", "device", "machine", "status", "workload"]
    for backend, device, machine, status, workload in _unique(_excluded(jobs)[columns]):
        statuses = on.setdefault((backend, device, machine), {})
        statuses.setdefault(status, []).append(workload)
    return {
        place: ", ".join(
            f"{_here(status)} on {words.listed(names)}" for status, names in statuses.items()
        )
        for place, statuses in on.items()
    }


def headline(jobs: pd.DataFrame) -> str:
    """A sentence that says how many results are in doubt, and which; "" if none is."""
    parts = []
    for status, (of_one, of_several) in _MEANINGS.items():
        results = jobs[jobs["status"] == status]
        if len(results):
            pairs = [
                f"{backend} on {workload}"
                for backend, workload in _unique(results[["backend", "workload"]])
            ]
            meaning = of_one if len(results) == 1 else of_several
            shown = ", ".join(words.first_of(pairs))
            parts.append(f"{len(results)} of {len(jobs)} results {meaning}: {shown}")
    return "; ".join(parts)


def lines_of(jobs: pd.DataFrame) -> list[str]:
    """A line per result that is not ranked: which job, and why."""
    return _lines(jobs, _excluded(jobs), "reason")


def unconfirmed_lines(jobs: pd.DataFrame) -> list[str]:
    """A line per result that is ranked although it is not confirmed: which job, and why."""
    ranked = jobs[(jobs["doubt"] != "") & (jobs["status"] == "ok")]
    return _lines(jobs, ranked, "doubt")


def _lines(jobs: pd.DataFrame, chosen: pd.DataFrame, reason: str) -> list[str]:
    formats = {"workload": "{}", "backend": " {}", "device": " {}", "seed": ", seed {}"}
    optional_formats = {
        "round": ", round {}",
        "batch_size": ", batch size {}",
        "epochs": ", {} epochs",
        "machine": " on {}",
    }
    counts = jobs.groupby("workload")[[*optional_formats]].nunique().max()
    formats |= {name: text for name, text in optional_formats.items() if counts[name] > 1}
    rows = zip(chosen[[*formats]].itertuples(index=False), chosen[reason], strict=True)
    return words.first_of(
        ["".join(map(str.format, formats.values(), row)) + f": {why}" for row, why in rows]
    )


def _here(status: str) -> str:
    return "disagrees here" if status == "disagrees" else f"is {status} here"


def _excluded(jobs: pd.DataFrame) -> pd.DataFrame:
    return jobs[jobs["status"].isin(EXCLUDED)]


def _unique(frame: pd.DataFrame) -> Iterable[tuple[str, ...]]:
    return frame.astype(str).drop_duplicates().itertuples(index=False, name=None)
