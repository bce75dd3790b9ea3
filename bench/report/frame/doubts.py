"""Texts on the doubtful results: wrong, disagreeing, suspect, or unconfirmed.

`bench.statistics.judgement` judges each result.

In a frame, the status of a doubtful result is its doubt (unless it is only unconfirmed). So code
that selects the status "ok" leaves it out. The argument of all functions is a frame with a row per
job, see `jobs.jobs_frame`.
"""

from __future__ import annotations

from collections.abc import Iterable

import pandas as pd

from bench.report.form import words

# Status of results that are not ranked -> its meaning, for one result and for several.
_MEANINGS = {
    "wrong": ("differs from the reference", "differ from the reference"),
    "disagrees": ("disagrees with the other backends", "disagree with the other backends"),
    "suspect": ("is suspect", "are suspect"),
}
EXCLUDED = tuple(_MEANINGS)
# (backend, device, machine) -> its statuses in words, each with the workloads.
Doubts = dict[tuple[str, str, str], str]


def doubts_of(jobs: pd.DataFrame) -> Doubts:
    """The doubts on each backend, e.g. "disagrees here on cnn"."""
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
    """A sentence with the number and the names of doubtful results; "" if there are none."""
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
    """A line per result that is ranked but unconfirmed: which job, and why."""
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
