"""Draws the curves of accuracy and loss, epoch time, throughput and memory, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from bench.report.form import words
from bench.report.frame.places import label
from bench.report.plot.style import STYLE, colours_of, save

CAPTIONS = {
    "curves": "Accuracy and loss after every epoch. Training figures are of the first 10,000"
    " training examples (all, with `--evaluate full`), dropout off.",
    "epoch-time": "Training only: evaluation, start-up and warm-up are not in it.",
    "throughput": "Training images per second of the same epochs.",
    "memory": "The kernel's high-water mark of the process, data set included.",
}
_FACET = ["dataset", "data_checksum", "workload", "spec", "epochs", "batch_size"]
_LOSSES = {
    "softmax_cross_entropy": "loss, cross-entropy",
    "mean_squared_error": "loss, mean squared error",
}
# Per bar: more would be one black line, and 100,000 make a file that no browser shows.
_MOST_DOTS = 40
_CURVES = [f"{part}_{what}" for part in ("test", "train") for what in ("accuracy", "loss")]
_DRAWN = [
    *(*_FACET, *_CURVES, "backend", "device", "threads", "machine", "loss"),
    *("epoch", "steady", "train_examples"),
    *("train_wall_seconds", "train_peak_rss_bytes"),
]
# `y` is where matplotlib would put the title, too, after a slow search.
_TITLE: dict[str, Any] = {"loc": "left", "fontweight": "bold", "y": 1.0}
_IN_ONE_COLUMN = 4  # workloads; more would make a picture longer than a page


def write_plots(frame: pd.DataFrame, folder: Path) -> list[str]:
    """Write every plot that the frame has data for, and return their names without ending."""
    # With all columns, this selection takes longer than the drawing in a run of 100,000 records.
    ok = frame.loc[frame["status"] == "ok", [*_DRAWN, *(["site"] if "site" in frame else [])]]
    if ok.empty:
        return []
    ok["contestant"], ok["label"] = _contestants(ok), label(ok)
    folder.mkdir(parents=True, exist_ok=True)
    bars: dict[str, tuple[str, Callable[[pd.DataFrame], pd.Series], Callable[[float], str]]] = {
        "epoch-time": (
            "seconds per training epoch",
            lambda e: e["train_wall_seconds"],
            words.seconds,
        ),
        "throughput": (
            "training images per second",
            lambda e: e["train_examples"] / e["train_wall_seconds"],
            words.per_second,
        ),
        "memory": (
            "peak process memory while training, GB",
            lambda e: e["train_peak_rss_bytes"] / 1e9,
            _gigabytes,
        ),
    }
    with mpl.rc_context(STYLE):
        save(_curves(ok), folder / "curves")
        counted = ok[ok["steady"]]
        if counted.empty:  # every round was disturbed, or failed in another backend
            return ["curves"]
        for name, (title, values, text) in bars.items():
            save(_bars(counted, title, values, text), folder / name)
    return ["curves", *bars]


def _contestants(frame: pd.DataFrame) -> pd.Series:
    """The name of each row's backend, with device, threads and machine where there are several."""
    names = frame["backend"].astype(str)
    texts: dict[str, Callable[[Any], str]] = {
        "device": str,
        "threads": words.threads,
        "machine": str,
    }
    columns = {"site": str} if "site" in frame else texts
    for column, text in columns.items():
        if frame[column].nunique() > 1:
            names += " " + frame[column].map(text).astype(str)
    return names


def _curves(frame: pd.DataFrame) -> Figure:
    """Per workload a panel of accuracy and one of loss; test is solid, training dashed.

    More than `_IN_ONE_COLUMN` workloads stand two in a row.
    """
    facets = [facet for _, facet in frame.groupby(_FACET, sort=False)]
    per_row = 1 if len(facets) <= _IN_ONE_COLUMN else 2
    rows = -(-len(facets) // per_row)
    figure = Figure(figsize=(3 + 6 * per_row, 0.4 + 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, 2 * per_row, squeeze=False).reshape(-1, 2)
    for unused in axes[len(facets) :].flat:
        unused.set_axis_off()
    for (accuracy, loss), facet in zip(axes, facets, strict=False):
        _draw_curves(accuracy, loss, facet, colours_of(frame))
        accuracy.set_title(_title(facet), **_TITLE)
        accuracy.set_ylabel("accuracy")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0))
        loss.set_ylabel(_LOSSES[facet["loss"].iloc[0]])
        for axis in (accuracy, loss):
            axis.set_xlim(0.5, facet["epochs"].iloc[0] + 0.5)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axis.set_xlabel("epoch")
    entries = {
        label: handle
        for row in axes
        for handle, label in zip(*row[0].get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        entries.values(), entries.keys(), loc="outside upper center", ncols=4, frameon=False
    )
    return figure


def _draw_curves(accuracy: Axes, loss: Axes, facet: pd.DataFrame, colours: dict[str, str]) -> None:
    """A line per contestant and part (test, training): the mean over its jobs.

    Lines drawn earlier are thicker, so that an equal line does not hide them.
    """
    means = {
        str(name): rows.groupby("epoch")[_CURVES].mean()
        for name, rows in facet.groupby("contestant", sort=False)
    }
    for number, (contestant, mean) in enumerate(means.items()):
        colour, width = colours[contestant], 1.2 + 6.0 * (len(means) - 1 - number) / len(means)
        for part, style, face in (("test", "-", colour), ("train", "--", "white")):
            line: dict[str, Any] = {
                "label": f"{contestant}, {'training' if part == 'train' else 'test'}",
                "color": colour,
                "linestyle": style,
                "linewidth": width,
                "marker": "o" if len(mean) == 1 else "",  # a line of one point shows nothing
                "markerfacecolor": face,
            }
            accuracy.plot(mean.index, mean[f"{part}_accuracy"], **line)
            loss.plot(mean.index, mean[f"{part}_loss"], **line)


def _bars(
    frame: pd.DataFrame,
    title: str,
    values: Callable[[pd.DataFrame], pd.Series],
    text: Callable[[float], str],
) -> Figure:
    """Per workload a panel with a bar per contestant, as long as the median of its epochs.

    Epochs are dots on it, see `_dots`.

    Args:
        frame: the epochs that count.
        title: what is shown, with its unit.
        values: computes the values from a frame of epochs.
        text: writes a value.
    """
    facets = [facet for _, facet in frame.groupby(_FACET, sort=False)]
    most = max(facet["contestant"].nunique() for facet in facets)
    # In inches. All texts are of one size, so their places are known; matplotlib's search takes as
    # long as the drawing.
    left = 0.15 + 0.085 * frame["contestant"].str.len().max()
    right, top, bottom, between = 0.3, 0.3, 0.5, 0.55
    bars = 0.34 * most
    width, height = left + 7 + right, top + len(facets) * (bars + between) - between + bottom
    figure = Figure(figsize=(width, height))
    axes = figure.subplots(len(facets), 1, squeeze=False)[:, 0]
    figure.subplots_adjust(
        left / width, bottom / height, 1 - right / width, 1 - top / height, hspace=between / bars
    )
    colours = colours_of(frame)
    for axis, facet in zip(axes, facets, strict=True):
        _panel(axis, facet, colours, values, text)
        axis.set_title(_title(facet), **_TITLE)
    axes[-1].set_xlabel(
        f"{title} (bar: median; dots: epochs, at most {_MOST_DOTS}, evenly by rank)"
    )
    return figure


def _panel(
    axis: Axes,
    facet: pd.DataFrame,
    colours: dict[str, str],
    values: Callable[[pd.DataFrame], pd.Series],
    text: Callable[[float], str],
) -> None:
    rows = {
        str(name): values(own).dropna() for name, own in facet.groupby("contestant", sort=False)
    }
    # The median of no values is not a number: no bar is drawn.
    middles = [measured.median() for measured in rows.values()]
    dots = {position: _dots(measured) for position, measured in enumerate(rows.values())}
    axis.barh(range(len(rows)), middles, color=[colours[name] for name in rows], height=0.7)
    heights = [position for position, shown in dots.items() for _ in shown]
    axis.plot(pd.concat(dots), heights, ".", color="black", alpha=0.4, markersize=4)
    for position, (middle, measured) in enumerate(zip(middles, rows.values(), strict=True)):
        if not measured.empty:
            axis.text(measured.max(), position, f"  {text(middle)}", verticalalignment="center")
    axis.set_yticks(range(len(rows)), rows.keys())
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlim(left=0)
    axis.grid(visible=False, axis="y")


def _dots(measured: pd.Series) -> pd.Series:
    """At most `_MOST_DOTS` of the values, at even steps of rank.

    The lowest and the highest are among them.
    """
    if len(measured) <= _MOST_DOTS:
        return measured
    step = (len(measured) - 1) / (_MOST_DOTS - 1)
    return measured.sort_values().iloc[[round(number * step) for number in range(_MOST_DOTS)]]


def _title(facet: pd.DataFrame) -> str:
    return f"{facet['label'].iloc[0]} on {facet['dataset'].iloc[0]}"


def _gigabytes(value: float) -> str:
    return words.gigabytes(1e9 * value)
