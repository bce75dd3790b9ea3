"""Makes the overviews of a run: a row per workload, a column per backend."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.report.form import words
from bench.report.form.document import Table
from bench.report.frame.places import Row, label, rows_of


def accuracy_overview(summary: pd.DataFrame, wanted: Sequence[str] = ()) -> Table:
    """A row per workload, a column per backend: the accuracy after the last epoch.

    A cell has its mean over seeds and its range.

    Args:
        summary: see `summary.summarise`.
        wanted: workloads that are listed even where there is no record of them, in this order,
            before the others.
    """
    summary = summary.assign(label=label(summary))
    backends = list(dict.fromkeys(summary["backend"]))
    found = {
        str(name): list(rows.groupby("label", sort=False))
        for name, rows in summary.groupby("workload", sort=False)
    }
    lines: list[tuple[str, ...]] = []
    for name in dict.fromkeys((*wanted, *found)):
        if name not in found:
            lines.append((name, words.ABSENT, words.ABSENT, *["not run"] * len(backends)))
        for text, rows in found.get(name, []):
            by_backend = {row["backend"]: row for row in rows_of(rows)}
            cells = [_spread(by_backend[b]) if b in by_backend else "not run" for b in backends]
            one = next(iter(by_backend.values()))
            lines.append(
                (str(text), str(one["epochs"]), words.percent(one["course_accuracy"]), *cells)
            )
    return Table(("workload", "epochs", "published", *backends), tuple(lines))


def speed_overview(summary: pd.DataFrame) -> Table:
    """A row per workload, a column per backend: the median epoch, and its ratio to the fastest.

    A "?" says that it is not certain that this backend is slower than the fastest.
    """
    ok = summary[summary["status"] == "ok"].assign(label=label(summary))
    backends = list(dict.fromkeys(summary["backend"]))
    lines = []
    for text, rows in ok.groupby("label", sort=False):
        by_backend = {row["backend"]: row for row in rows_of(rows)}
        cells = [_speed(by_backend[b]) if b in by_backend else words.ABSENT for b in backends]
        lines.append((str(text), *cells))
    return Table(("workload", *backends), tuple(lines))


def _speed(row: Row) -> str:
    ratio = words.times(row["times_fastest"]) + ("?" if row.get("unsure") else "")
    return f"{words.seconds(row['epoch_seconds'])} ({ratio})"


def _spread(row: Row) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    mean = words.percent(row["test_accuracy"])
    if row["ok_jobs"] == 1:
        return mean
    low, high = (
        words.percent(row[f"test_accuracy_{end}"]).removesuffix(" %") for end in ("low", "high")
    )
    return f"{mean} ({low} to {high})"
