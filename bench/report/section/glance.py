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
    rounds = len(run.jobs[["round", "seed"]].drop_duplicates())
    return noise.describe(run.calibration, rounds, by_turns=bool(run.jobs["turns"].any()))


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
    by the fastest backend's, see `bench.report.section.results`; "alone" if there is no other.

    Args:
        summary: see `summary.summarise`.
        wanted: workloads that are listed first, in this order, even if they were not run.
    """
    return _table(summary, wanted, ("accuracy",), _range, _ratio)


def published_overview(jobs: pd.DataFrame) -> Table:
    """A row per workload with a published accuracy: how far it is from the accuracy here.

    The published accuracy is one run, and here it is a mean over n seeds. So the variance of the
    difference is that of a run plus that of the mean. Jobs with the same seed are not independent:
    the variance of the mean is that of the seeds' means divided by n. Only backends with the most
    seeds count.

    Args:
        jobs: see `jobs.jobs_frame`.
    """
    titles = ("workload", "published", "here", "seeds", "difference", "in standard errors")
    comparable = (
        (jobs["status"] == "ok") & (jobs["mode"] == "matched") & jobs["course_accuracy"].notna()
    )
    lines = []
    for label, rows in jobs[comparable].groupby("label", sort=False, observed=True):
        by_seed = _by_backend_and_seed(rows)
        count, means = by_seed.shape[1], by_seed.mean()
        published, here = float(rows["course_accuracy"].iloc[0]), float(means.mean())
        difference = here - published
        within = float(by_seed.var().mean()) if len(by_seed) > 1 else 0.0
        between = float(means.var()) if count > 1 else nan
        error = sqrt(between * (1 + 1 / count) + within * (1 - 1 / len(by_seed)))
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


def _by_backend_and_seed(rows: pd.DataFrame) -> pd.DataFrame:
    """The mean accuracy of each backend (rows) with each seed (columns).

    Only the backends with the most seeds are in it.
    """
    means = rows.groupby(["backend", "seed"], observed=True)["test_accuracy"].mean()
    by_seed = means.unstack("seed")  # noqa: PD010 - `pivot` needs columns
    seeds = by_seed.count(axis=1)
    return by_seed[seeds == seeds.max()].dropna(axis=1, how="all")


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
    compared = [
        other
        for other in all_rows
        if (other["status"], other["precision"]) == ("ok", row["precision"])
    ]
    return ratio_text(row) if len(compared) > 1 else "alone"


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
