"""Tables with a row per workload and a column per backend, and the machine's timing noise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import nan, sqrt

import pandas as pd

from bench.report.chart.results import ratio_text
from bench.report.form import words
from bench.report.form.blocks import Table, without_empty
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from bench.statistics import noise


def noise_line(run: Run) -> str:
    """A sentence on the timing noise of the machine, or on how to measure it."""
    if run.calibration is None:
        job, machine = run.records[0].job, run.records[0].machine
        command = f"bench calibrate --device {job.device} --threads {job.threads}"
        return f"Timing noise on {machine.name} is unknown. Run: `{command}`"
    return noise.describe(run.calibration, len(run.jobs[["round", "seed"]].drop_duplicates()))


def accuracy_overview(summary: pd.DataFrame, wanted: Sequence[str] = ()) -> Table:
    """A row per workload, a column per backend: the accuracy after the last epoch.

    A cell has the mean over jobs and the range.

    Args:
        summary: see `summary.summarise`.
        wanted: workloads that are listed first, in this order, even if they were not run.
    """
    return _table(summary, wanted, (), lambda _: (), _accuracy)


def results_overview(summary: pd.DataFrame, wanted: Sequence[str] = ()) -> Table:
    """A row per workload: the accuracies of all backends, and how fast each is.

    The accuracy is a range over backends and jobs. The cell of a backend is its epoch time divided
    by the fastest backend's, see `bench.report.section.results`; "-" if there is no other backend.

    Args:
        summary: see `summary.summarise`.
        wanted: workloads that are listed first, in this order, even if they were not run.
    """
    return _table(summary, wanted, ("accuracy",), _range, _ratio)


def published_overview(jobs: pd.DataFrame) -> Table:
    """A row per workload with a published accuracy: how far it is from the accuracy here.

    The published accuracy is one run. So the standard error is the standard deviation of all jobs,
    over seeds and backends, times sqrt(1 + 1/n) for the mean here over n seeds. Jobs with the same
    seed are not independent. Only backends with the most seeds count, so that all seeds have the
    same weight.

    Args:
        jobs: see `jobs.jobs_frame`.
    """
    titles = ("workload", "published", "here", "seeds", "difference", "in standard errors")
    comparable = (
        (jobs["status"] == "ok") & (jobs["mode"] == "matched") & jobs["course_accuracy"].notna()
    )
    lines = []
    for label, rows in jobs[comparable].groupby("label", sort=False, observed=True):
        seeds = rows.groupby("backend", observed=True)["seed"].transform("nunique")
        accuracies, count = rows["test_accuracy"][seeds == seeds.max()], int(seeds.max())
        published, here = float(rows["course_accuracy"].iloc[0]), float(accuracies.mean())
        difference = here - published
        error = float(accuracies.std(ddof=1)) * sqrt(1 + 1 / count) if count > 1 else nan
        lines.append(
            (
                str(label),
                words.percent(published),
                words.percent(here),
                str(count),
                f"{words.points(difference)} points",
                f"{difference / error:+.1f} (one is {100 * error:.2f} points)"
                if error > 0
                else words.ABSENT,
            )
        )
    return Table(titles, tuple(lines))


def _table(
    summary: pd.DataFrame,
    wanted: Sequence[str],
    headings: tuple[str, ...],
    of_all: Callable[[Sequence[Row]], tuple[str, ...]],
    of_one: Callable[[Row, Sequence[Row]], str],
) -> Table:
    """A table with columns for all backends together (`headings`), and a column per backend."""
    backends = list(dict.fromkeys(summary["backend"]))
    by_workload = {
        str(name): list(rows.groupby("label", sort=False))
        for name, rows in summary.groupby("workload", sort=False)
    }
    titles = ("workload", "epochs", "published", *headings)
    lines: list[tuple[str, ...]] = []
    for name in dict.fromkeys((*wanted, *by_workload)):
        if name not in by_workload:
            absent = [words.ABSENT] * (len(titles) - 1)
            lines.append((name, *absent, *["not run"] * len(backends)))
        for label, rows in by_workload.get(name, []):
            by_backend = {row["backend"]: row for row in rows_of(rows)}
            all_rows = list(by_backend.values())
            cells = [
                of_one(by_backend[b], all_rows) if b in by_backend else "not run" for b in backends
            ]
            first = all_rows[0]
            published = words.percent(first["course_accuracy"])
            whole = of_all(all_rows)
            lines.append((str(label), str(first["epochs"]), published, *whole, *cells))
    return without_empty(Table((*titles, *backends), tuple(lines)))


def _range(rows: Sequence[Row]) -> tuple[str]:
    """The lowest and the highest accuracy of all good jobs."""
    good = [row for row in rows if row["status"] == "ok"]
    if not good:
        return (words.ABSENT,)
    low = words.percent(min(row["test_accuracy_low"] for row in good))
    high = words.percent(max(row["test_accuracy_high"] for row in good))
    return (high if low == high else f"{low.removesuffix(' %')} to {high}",)


def _ratio(row: Row, all_rows: Sequence[Row]) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    is_alone = sum(other["status"] == "ok" for other in all_rows) == 1
    return words.ABSENT if is_alone else ratio_text(row)


def _accuracy(row: Row, _: Sequence[Row]) -> str:
    if row["status"] != "ok":
        return str(row["status"])
    mean = words.percent(row["test_accuracy"])
    if row["ok_jobs"] == 1:
        return mean
    low, high = (
        words.percent(row[f"test_accuracy_{end}"]).removesuffix(" %") for end in ("low", "high")
    )
    return f"{mean} ({low} to {high})"
