"""The table of accuracies with a column per backend, and the machine's timing noise."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from bench.report.form import words
from bench.report.form.blocks import Table, without_empty
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from bench.statistics import noise


def noise_line(run: Run) -> str:
    """A sentence on the timing noise of the machine, or how to measure it."""
    if run.calibration is None:
        job, machine = run.records[0].job, run.records[0].machine
        command = f"bench calibrate --device {job.device} --threads {job.threads}"
        return f"Timing noise on {machine.name} is unknown. Run: `{command}`"
    return noise.describe(run.calibration, len(run.jobs[["round", "seed"]].drop_duplicates()))


def accuracy_overview(summary: pd.DataFrame, wanted: Sequence[str] = ()) -> Table:
    """A row per workload, a column per backend: the accuracy after the last epoch.

    A cell has its mean over jobs and its range.

    Args:
        summary: see `summary.summarise`.
        wanted: workloads that are listed first, in this order, even if they were not run.
    """
    backends = list(dict.fromkeys(summary["backend"]))
    by_workload = {
        str(name): list(rows.groupby("label", sort=False))
        for name, rows in summary.groupby("workload", sort=False)
    }
    lines: list[tuple[str, ...]] = []
    for name in dict.fromkeys((*wanted, *by_workload)):
        if name not in by_workload:
            lines.append((name, words.ABSENT, words.ABSENT, *["not run"] * len(backends)))
        for label, rows in by_workload.get(name, []):
            by_backend = {row["backend"]: row for row in rows_of(rows)}
            cells = [_accuracy(by_backend[b]) if b in by_backend else "not run" for b in backends]
            first = next(iter(by_backend.values()))
            published = words.percent(first["course_accuracy"])
            lines.append((str(label), str(first["epochs"]), published, *cells))
    return without_empty(Table(("workload", "epochs", "published", *backends), tuple(lines)))


def _accuracy(row: Row) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    mean = words.percent(row["test_accuracy"])
    if row["ok_jobs"] == 1:
        return mean
    low, high = (
        words.percent(row[f"test_accuracy_{end}"]).removesuffix(" %") for end in ("low", "high")
    )
    return f"{mean} ({low} to {high})"
