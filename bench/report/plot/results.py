"""Draws the curves of accuracy and loss, epoch time, throughput and memory, as PNG and SVG."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import chain
from math import ceil
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import EngFormatter, MaxNLocator, PercentFormatter

from bench.report.form import words
from bench.report.plot.style import STYLE, colours_of, panels, save

CAPTIONS = {
    "curves": "Accuracy and loss after every epoch, means over jobs. Training figures are of the"
    " first 10,000 training examples (all, with `--evaluate full`), dropout off.",
    "epoch-time": "Training only, without evaluation and start-up. Bars are the figures of the"
    " tables; dots are steady epochs.",
    "throughput": "Training images per second of the same epochs.",
    "memory": "The process's peak memory while training, data set included. A bar is the highest of"
    " all epochs, also of the warm-up.",
}
_FACET = ["dataset", "data_checksum", "workload", "spec", "epochs", "batch_size"]
_BAR = [*_FACET, "name"]
_LOSSES = {
    "softmax_cross_entropy": "loss, cross-entropy",
    "mean_squared_error": "loss, mean squared error",
}
# Per bar. 100,000 dots would make a file that no browser shows.
_MOST_DOTS = 40
_CURVES = ["test_accuracy", "test_loss", "train_accuracy", "train_loss"]
_TITLE = 0.3  # inches
_FIGURE = 9  # characters of a bar's figure and the two spaces before it
_LEGEND_COLUMNS = 4
_IN_ONE_COLUMN = 4  # workloads; with more, a single column would be longer than a page


class _Measure(NamedTuple):
    """What a plot of bars shows.

    `bar` is a column of the summary, `dots` computes the same figure of each epoch, and `text`
    writes a bar's value.
    """

    title: str
    unit: str
    bar: str
    dots: Callable[[pd.DataFrame], pd.Series]
    text: Callable[[float], str]


_BARS = {
    "epoch-time": _Measure(
        "time of a training epoch",
        "s",
        "epoch_seconds",
        lambda epochs: epochs["train_wall_seconds"],
        words.seconds,
    ),
    "throughput": _Measure(
        "training images per second",
        "",
        "train_examples_per_second",
        lambda epochs: epochs["train_examples"] / epochs["train_wall_seconds"],
        words.per_second,
    ),
    "memory": _Measure(
        "peak process memory while training",
        "B",
        "train_peak_rss_bytes",
        lambda epochs: epochs["train_peak_rss_bytes"],
        words.gigabytes,
    ),
}


def write_plots(summary: pd.DataFrame, epochs: pd.DataFrame, folder: Path) -> list[str]:
    """Write every plot that there is data for, and return their names without ending.

    Args:
        summary: see `frame.columns.SUMMARY`; bars are its figures. Both frames have another column
            `name`: the name of each row in the plots.
        epochs: see `frame.columns.EPOCHS`.
        folder: the folder that the plots are written to.
    """
    rows, ran = (frame[frame["status"] == "ok"] for frame in (summary, epochs))
    if rows.empty:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        save(_curves(ran), folder / "curves")
        if rows["epoch_seconds"].isna().all():  # no epoch is steady
            return ["curves"]
        for name in _BARS:
            save(bars(rows, ran, name), folder / name)
    return ["curves", *_BARS]


def names_of(frame: pd.DataFrame) -> pd.Series:
    """The name of each row's backend, with device, threads and machine where there are several."""
    names = frame["backend"].astype(str)
    texts: dict[str, Callable[[Any], str]] = {
        "device": str,
        "threads": words.threads,
        "machine": str,
    }
    for column, text in texts.items():
        if frame[column].nunique() > 1:
            names += " " + frame[column].map(text).astype(str)
    return names


def bars(summary: pd.DataFrame, epochs: pd.DataFrame, name: str) -> Figure:
    """Per workload a panel with a bar per row of the summary, and dots for its epochs.

    Args:
        summary: see `write_plots`; rows with at least one job that ended ok.
        epochs: of jobs that ended ok; the steady ones are dots.
        name: the plot's name.
    """
    measure = _BARS[name]
    shown = epochs[epochs["steady"]]
    by_bar = measure.dots(shown).dropna().groupby([shown[column] for column in _BAR])
    dots = {bar: _few(values).tolist() for bar, values in by_bar}
    facets = [rows for _, rows in summary.groupby(_FACET, sort=False)]
    height = 0.34 * max(len(rows) for rows in facets)
    left = 0.072 * (summary["name"].astype(str).str.len().max() + _FIGURE) + 0.2
    figure, axes = panels(
        len(facets), 1, (max(8.65 - left, 3.0), height), left=left, below=0.55, above=_TITLE
    )
    colours = colours_of(summary["name"])
    for axis, rows in zip(axes[:, 0], facets, strict=True):
        bar_names = rows[_BAR].itertuples(index=False, name=None)
        _draw_bars(axis, rows, [dots.get(bar, []) for bar in bar_names], measure, colours)
        axis.set_title(_title(rows), loc="left", fontweight="bold")
    axes[-1, 0].set_xlabel(
        f"{measure.title} (bar: as in the table; dots: steady epochs, at most {_MOST_DOTS})",
        loc="right",  # beside long names the axis is shorter than this text
    )
    return figure


def _draw_bars(
    axis: Axes,
    rows: pd.DataFrame,
    dots: Sequence[Sequence[float]],
    measure: _Measure,
    colours: dict[str, str],
) -> None:
    """Draw a bar per row, and its dots; the bar's value is beside the backend's name."""
    values = rows[measure.bar].tolist()
    axis.barh(range(len(rows)), values, color=rows["name"].map(colours), height=0.7)
    positions = [position for position, epochs in enumerate(dots) for _ in epochs]
    figures = [*chain.from_iterable(dots)]
    axis.plot(figures, positions, ".", color="black", markeredgecolor="white", alpha=0.6)
    names = [
        f"{name}  {measure.text(value)}" if pd.notna(value) else str(name)
        for name, value in zip(rows["name"], values, strict=True)
    ]
    axis.set_yticks(range(len(rows)), names)
    axis.invert_yaxis()
    axis.margins(x=0.12)
    axis.set_xlim(left=0)
    axis.grid(visible=False, axis="y")
    axis.xaxis.set_major_formatter(EngFormatter(measure.unit))


def _few(values: pd.Series) -> pd.Series:
    """At most `_MOST_DOTS` of the values, at even steps of rank.

    The lowest and the highest are among them.
    """
    if len(values) <= _MOST_DOTS:
        return values
    step = (len(values) - 1) / (_MOST_DOTS - 1)
    return values.sort_values().iloc[[round(number * step) for number in range(_MOST_DOTS)]]


def _curves(frame: pd.DataFrame) -> Figure:
    """Per workload a panel of accuracy and one of loss; test is solid, training dashed.

    There are two workloads in a row if there are more than `_IN_ONE_COLUMN`.
    """
    columns = [*_BAR, "label", "loss", "epoch"]
    means = frame.groupby(columns, sort=False)[_CURVES].mean().reset_index()
    facets = [facet for _, facet in means.groupby(_FACET, sort=False)]
    per_row = 1 if len(facets) <= _IN_ONE_COLUMN else 2
    rows, colours = -(-len(facets) // per_row), colours_of(frame["name"].unique())
    legend = 0.17 * ceil(2 * len(colours) / _LEGEND_COLUMNS) + 0.1
    size = (3.5 if per_row == 1 else 2.9, 2.0)
    figure, axes = panels(rows, 2 * per_row, size, left=1.0, below=0.8, above=_TITLE + legend)
    axes = axes.reshape(-1, 2)
    for unused in axes[len(facets) :].flat:
        unused.set_axis_off()
    for (accuracy, loss), facet in zip(axes, facets, strict=False):
        _draw_curves(accuracy, loss, facet, colours)
        accuracy.set_title(_title(facet), loc="left", fontweight="bold")
        accuracy.set_ylabel("accuracy")
        accuracy.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=" %"))
        loss.set_ylabel(_LOSSES[facet["loss"].iloc[0]])
        for axis in (accuracy, loss):
            axis.set_xlim(0.5, facet["epochs"].iloc[0] + 0.5)
            axis.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
            axis.set_xlabel("epoch")
            axis.xaxis.set_label_coords(0.5, -0.13)
            axis.yaxis.set_label_coords(-0.72 / size[0], 0.5)
    entries = {
        label: handle
        for row in axes
        for handle, label in zip(*row[0].get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        entries.values(), entries.keys(), loc="upper center", ncols=_LEGEND_COLUMNS, frameon=False
    )
    return figure


def _draw_curves(accuracy: Axes, loss: Axes, facet: pd.DataFrame, colours: dict[str, str]) -> None:
    """A line per backend and part (test, training): the mean over its jobs.

    Lines drawn earlier are thicker, so that an equal line does not hide them.
    """
    means = {str(name): rows.set_index("epoch") for name, rows in facet.groupby("name", sort=False)}
    for number, (name, mean) in enumerate(means.items()):
        colour, width = colours[name], 1.2 + 6.0 * (len(means) - 1 - number) / len(means)
        for part, style, face in (("test", "-", colour), ("train", "--", "white")):
            line: dict[str, Any] = {
                "label": f"{name}, {'training' if part == 'train' else 'test'}",
                "color": colour,
                "linestyle": style,
                "linewidth": width,
                "marker": "o" if len(mean) == 1 else "",  # a line of one point shows nothing
                "markerfacecolor": face,
            }
            accuracy.plot(mean.index, mean[f"{part}_accuracy"], **line)
            loss.plot(mean.index, mean[f"{part}_loss"], **line)


def _title(rows: pd.DataFrame) -> str:
    return f"{rows['label'].iloc[0]} on {rows['dataset'].iloc[0]}"
