"""Makes the table of all figures of a run, a row per workload and backend."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from math import isfinite
from typing import Any, NamedTuple

from bench.report.chart.results import ratio_text
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Items, Table, Text
from bench.report.frame.places import Row, identity, rows_of
from bench.report.run import Run
from bench.report.section.opening import meanings
from bench.report.section.results import (
    ACCURACY_TEXT,
    SPEED_TEXT,
    epoch_time,
    epoch_times,
    to_target,
)

_WHERE: dict[str, Callable[[Any], str]] = {
    "dataset": str,
    "device": str,
    "threads": words.threads,
    "machine": str,
}


class _Column(NamedTuple):
    """A column of the table: the text of a row's cell, and the figure by which it is sorted."""

    text: Callable[[Row], str]
    key: str = ""


def section(run: Run) -> list[Block]:
    """The table, the meaning of its marks, and how its figures are made."""
    how = Folded("How these figures are made", [Text(ACCURACY_TEXT), Text(SPEED_TEXT)])
    return [_table(run, _columns(run)), Items(tuple(meanings(run))), how]


def main_figures(run: Run) -> Table:
    """The table with the most important columns only."""
    return _table(run, {**_WHAT, **_where(run), **_FIRST})


def _table(run: Run, columns: Mapping[str, _Column]) -> Table:
    """The columns with a figure, and a row per backend and workload."""
    rows = rows_of(run.summary)
    used = {
        name: column
        for name, column in columns.items()
        if any(column.text(row) != words.ABSENT for row in rows)
    }
    return Table(
        tuple(used),
        tuple(tuple(column.text(row) for column in used.values()) for row in rows),
        keys=tuple(tuple(_key(row, column.key) for column in used.values()) for row in rows),
    )


def _where(run: Run) -> dict[str, _Column]:
    """A column for each part of a place (such as the device) with several values."""
    return {
        name.replace("dataset", "data set"): _Column(partial(_place, name, text))
        for name, text in _WHERE.items()
        if run.summary[name].nunique() > 1
    }


def _columns(run: Run) -> dict[str, _Column]:
    few = epoch_times(run)
    times = _Column(_if_ok(partial(_times, few)), "epoch_seconds_low")
    return {**_WHAT, **_where(run), **_FIRST, "fastest to slowest": times, **_OTHERS}


def _place(name: str, text: Callable[[Any], str], row: Row) -> str:
    return text(row[name])


def _times(few: dict[tuple[Any, ...], str], row: Row) -> str:
    """The times of all epochs if these are few, else the fastest and the slowest turn or epoch."""
    listed = "" if row["turns"] else few.get(identity(row), "")
    return listed or words.span(row["epoch_seconds_low"], row["epoch_seconds_high"])


def _of(name: str, text: Callable[[Any], str]) -> _Column:
    return _Column(_if_ok(lambda row: text(row[name])), name)


def _if_ok(text: Callable[[Row], str]) -> Callable[[Row], str]:
    """The text of a row with at least one good result, else the sign for no figure."""
    return lambda row: text(row) if row["status"] == "ok" else words.ABSENT


def _result(row: Row) -> str:
    """The status, bold if it is not ok; a doubt is pale."""
    if row["status"] != "ok":
        return f"**{row['status']}**"
    return "*unconfirmed*" if row["doubt"] else "ok"


def _warm_up(row: Row) -> str:
    seconds = row["warm_up_seconds"]
    return "none" if seconds <= 0 else words.seconds(seconds)


def _key(row: Row, name: str) -> float | None:
    value = row[name] if name else None
    return float(value) if value is not None and isfinite(value) else None


def _to_target(row: Row) -> str:
    seconds, epoch = row["seconds_to_target"], row["epochs_to_target"]
    medians = f"{words.seconds(seconds)}, epoch {epoch:g}"
    return to_target(row, medians + (" (medians)" if row["target_jobs"] > 1 else ""))


_WHAT = {
    "workload": _Column(lambda row: str(row["label"])),
    "backend": _Column(lambda row: str(row["backend"])),
}
_FIRST = {
    "result": _Column(_result),
    "test accuracy": _of("test_accuracy", words.percent),
    "published": _of("course_accuracy", words.percent),
    "epoch, median": _Column(_if_ok(epoch_time), "epoch_seconds"),
    "ratio to fastest": _Column(_if_ok(ratio_text), "times_fastest"),
    "start-up": _of("startup_seconds", words.seconds),
    "compile and warm-up": _Column(_if_ok(_warm_up), "warm_up_seconds"),
    "peak memory": _of("train_peak_rss_bytes", words.gigabytes),
}
_OTHERS = {
    "turns or epochs": _Column(_if_ok(lambda row: str(row["turns"] or row["steady_epochs"]))),
    "training images/s": _of("train_examples_per_second", words.per_second),
    "prediction images/s": _of("predict_examples_per_second", words.per_second),
    "CPU time": _of("epoch_cpu_seconds", words.seconds),
    "target": _of("target_accuracy", words.percent),
    "training time to target": _Column(_if_ok(_to_target), "seconds_to_target"),
    "training accuracy": _of("train_accuracy", words.percent),
    "jobs": _Column(lambda row: f"{row['ok_jobs']} of {row['jobs']}", "ok_jobs"),
}
