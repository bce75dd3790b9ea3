"""Charts of training: accuracy against time, curves over epochs, and break-even."""

from __future__ import annotations

from math import isfinite

import altair as alt
import numpy as np
import pandas as pd

from bench.report.chart.results import caption_of, facets
from bench.report.chart.style import (
    INK,
    MOST_ROWS,
    Row,
    colour,
    layers,
    log_axis,
    marker,
    panel,
    shown,
    unit_axis,
)
from bench.report.form.blocks import Chart
from bench.report.frame.columns import GROUP
from bench.report.frame.places import rows_of
from bench.report.run import Run

_TO_ACCURACY = (
    "Test accuracy against seconds since the start of the process: start-up and training, without"
    " evaluation. A point per epoch (12 at most), mean over jobs. Dashed: the target accuracy."
)
_CURVES = (
    "Accuracy and loss after every epoch, means over jobs. Solid: test. Dashed: the first 10,000"
    " training examples (all, with `--evaluate full`), dropout off. Equal lines cover each other."
)
_BREAK_EVEN = (
    "Seconds until the end of each epoch: the medians of start-up, of compiling and warm-up, and"
    " of epochs, added up. Where two lines cross, the backend that starts slower has caught up."
)
_HEIGHT = 170
_LOSSES = {"softmax_cross_entropy": "cross-entropy", "mean_squared_error": "mean squared error"}
_CURVE = ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
_POINTS = 13  # of a line in the break-even chart
_MOST_EPOCHS = 1000
_MOST_NAMED = 6  # an axis of at most this number of epochs numbers each of them
_MOST_POINTS = 12  # of a line in the other charts


def time_to_accuracy(run: Run) -> Chart | None:
    """Test accuracy against seconds since the start; None if no job ended ok."""
    epochs = _ok(run)
    first = epochs[[f"{name}_wall_seconds" for name in ("import", "build", "load")]].sum(
        axis=1, skipna=False
    )
    trained = epochs.groupby("key", sort=False)["train_wall_seconds"].cumsum()
    epochs = epochs.assign(seconds=first + trained, accuracy=100 * epochs["test_accuracy"])
    means = _means(epochs, ["seconds", "accuracy"])
    panels = []
    for title, facet in facets(means):
        data = [
            {name: row[name] for name in ("backend", "epoch", "seconds", "accuracy")}
            for row in rows_of(facet[facet["seconds"] > 0])
        ]
        target = facet["target_accuracy"].iloc[0]
        if data:
            chart = _accuracy_lines(data, 100 * target if isfinite(target) else None)
            panels.append(panel(title, chart, data, height=_HEIGHT))
    return (
        Chart("time-to-accuracy", caption_of(_TO_ACCURACY, means), tuple(panels))
        if panels
        else None
    )


def curves(run: Run) -> Chart | None:
    """Accuracy and loss after every epoch, in two panels per workload."""
    means = _means(_ok(run), _CURVE)
    panels = []
    for title, facet in facets(means):
        for measure, unit in (("accuracy", "%"), ("loss", _LOSSES[facet["loss"].iloc[0]])):
            factor = 100 if measure == "accuracy" else 1
            data = [
                {
                    **{name: row[name] for name in ("backend", "epoch")},
                    "part": part,
                    "value": factor * row[f"{part}_{measure}"],
                }
                for row in rows_of(facet)
                for part in ("test", "train")
            ]
            chart = _curve_lines(data)
            panels.append(panel(f"{title}: {measure}, {unit}", chart, data, height=_HEIGHT))
    return Chart("curves", caption_of(_CURVES, means), tuple(panels)) if panels else None


def break_even(run: Run) -> Chart | None:
    """Seconds until the end of an epoch, for 1 to 1,000 epochs."""
    panels = []
    for title, facet in facets(run.ok):
        data = [
            {"backend": row["backend"], "epoch": epoch, "seconds": seconds}
            for row in rows_of(facet)[:MOST_ROWS]
            for epoch, seconds in _seconds_until(row)
        ]
        if len({row["backend"] for row in data}) > 1:
            panels.append(panel(title, _break_even_lines(data), data, height=_HEIGHT))
    return Chart("break-even", caption_of(_BREAK_EVEN, run.ok), tuple(panels)) if panels else None


def _seconds_until(row: Row) -> list[tuple[int, float]]:
    """(number of epochs, seconds until the last one ends); [] if a part is unknown."""
    before = row["startup_seconds"] + max(row["warm_up_seconds"], 0.0)
    if not isfinite(before + row["epoch_seconds"]):
        return []
    epochs = np.unique(np.geomspace(1, _MOST_EPOCHS, _POINTS).round().astype(int))
    return [(int(epoch), before + int(epoch) * row["epoch_seconds"]) for epoch in epochs]


def _ok(run: Run) -> pd.DataFrame:
    return run.epochs[run.epochs["status"] == "ok"]


def _means(epochs: pd.DataFrame, columns: list[str]) -> pd.DataFrame:
    """The means over jobs, a row per group, backend and epoch."""
    keys = [*GROUP, "device_name", "backend", "label", "loss", "target_accuracy", "epoch"]
    keys = [*dict.fromkeys(keys)]
    means = epochs.groupby(keys, sort=False, observed=True, dropna=False)[columns].mean()
    means = means.reset_index()
    return means if means.empty else means[_few_epochs(means)]


def _few_epochs(means: pd.DataFrame) -> pd.Series:
    """Which rows are drawn: at most 12 evenly spread epochs of a line, with the first and the last.

    More points cannot be seen, and would enlarge the page of the suite `course` to 5 MB.
    """
    last = means["epochs"]
    step = np.maximum((last - 1) / (_MOST_POINTS - 1), 1.0)
    nearest = 1 + (((means["epoch"] - 1) / step).round() * step).round()
    return means["epoch"] == nearest


def _lines(data: list[Row], x: alt.X, y: alt.Y) -> list[alt.Chart]:
    """A line and a marker per epoch for every name."""
    backends = [row["backend"] for row in data]
    colours, markers = colour(backends, legend=True), marker(backends, legend=True)
    rows = shown().encode(x=x, y=y, detail="backend:N", color=colours)
    points = rows.mark_point(filled=True, size=36, opacity=1).encode(
        shape=markers,
        tooltip=[
            "backend:N",
            "epoch:Q",
            alt.Tooltip(str(x.shorthand), format=".4~g"),
            alt.Tooltip(str(y.shorthand), format=".4~g"),
        ],
    )
    return [rows.mark_line(strokeWidth=1.5), points]


def _accuracy_lines(data: list[Row], target: float | None) -> alt.LayerChart:
    x = alt.X(
        "seconds:Q",
        title="seconds",
        scale=alt.Scale(type="log", nice=False, padding=6),
        axis=log_axis([row["seconds"] for row in data]),
    )
    y = alt.Y("accuracy:Q", title=None, scale=_scale(), axis=unit_axis("%"))
    rule = []
    if target is not None:
        single_row = shown().transform_aggregate(rows="count()")  # else a line per row
        rule = [single_row.mark_rule(color=INK, strokeDash=[2, 2]).encode(y=alt.datum(target))]
    return layers(*rule, *_lines(data, x, y))


def _curve_lines(data: list[Row]) -> alt.LayerChart:
    epochs = sorted({row["epoch"] for row in data})
    few = {"values": epochs} if len(epochs) <= _MOST_NAMED else {"tickCount": 4}
    x = alt.X(
        "epoch:Q",
        title="epoch",
        axis=alt.Axis(format="d", **few),
        scale=alt.Scale(zero=False, nice=False, padding=6),
    )
    y = alt.Y("value:Q", title=None, scale=_scale(), axis=alt.Axis(tickCount=4))
    backends = [row["backend"] for row in data]
    dashes = alt.Scale(domain=["test", "train"], range=[[1, 0], [4, 3]])
    rows = shown().encode(
        x=x,
        y=y,
        color=colour(backends, legend=True),
        strokeDash=alt.StrokeDash("part:N", scale=dashes, legend=None),
        detail="backend:N",
        tooltip=["backend:N", "part:N", "epoch:Q", alt.Tooltip("value:Q", format=".4~g")],
    )
    if len(epochs) == 1:  # a line of one point shows nothing
        return layers(rows.mark_point(size=36))
    return layers(rows.mark_line(strokeWidth=1.5))


def _break_even_lines(data: list[Row]) -> alt.LayerChart:
    log = alt.Scale(type="log", nice=False)
    x = alt.X("epoch:Q", title="epochs", scale=log, axis=log_axis([1, _MOST_EPOCHS]))
    y = alt.Y(
        "seconds:Q", title="seconds", scale=log, axis=log_axis([row["seconds"] for row in data])
    )
    return layers(_lines(data, x, y)[0].encode(tooltip=["backend:N", "epoch:Q", "seconds:Q"]))


def _scale() -> alt.Scale:
    return alt.Scale(zero=False, nice=False, padding=6)
