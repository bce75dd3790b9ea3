"""Draws a sweep: throughput and memory against size, a line per backend."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, NullLocator, StrMethodFormatter

from bench.report.plot.style import STYLE, colours_of, save

_PANELS = (("images_per_second", "training images per second"), ("gigabytes", "peak memory, GB"))


def write_scaling_plot(points: pd.DataFrame, path: Path) -> str:
    """Write PATH.png and PATH.svg, and return the name without folder and ending.

    Args:
        points: a row per job: backend, width, batch_size, images_per_second, and memory in bytes.
        path: without ending.
    """
    points = points.assign(gigabytes=points["memory"] / 1e9)
    along = "batch_size" if points["batch_size"].nunique() > 1 else "width"
    facets = [f for _, f in points.groupby("width")] if along == "batch_size" else [points]
    path.parent.mkdir(parents=True, exist_ok=True)
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(9, 0.6 + 2.9 * len(facets)), layout="constrained")
        axes = figure.subplots(len(facets), len(_PANELS), squeeze=False, sharey="col")
        for row, facet in zip(axes, facets, strict=True):
            for axis, (column, title) in zip(row, _PANELS, strict=True):
                _draw(axis, facet, along, column, colours_of(points["backend"]))
                axis.set_ylabel(title)
            row[0].set_yscale("log")
            row[0].yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
            row[0].yaxis.set_minor_locator(LogLocator(subs=(2, 5)))
            row[0].yaxis.set_minor_formatter(StrMethodFormatter("{x:,.0f}"))
            row[1].set_ylim(
                0, 1.1 * points["gigabytes"].max() if points["gigabytes"].notna().any() else 1
            )
            if along == "batch_size":
                row[0].set_title(f"width {facet['width'].iloc[0]}", loc="left", fontweight="bold")
        handles, names = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, names, loc="outside upper center", ncols=4, frameon=False)
        save(figure, path)
    return path.name


def _draw(
    axis: Axes, facet: pd.DataFrame, along: str, column: str, colours: dict[str, str]
) -> None:
    """Draw each backend's jobs as dots and their medians as a line; the axis of sizes is log2."""
    measured = facet.dropna(subset=column)
    for name in measured["backend"].unique():
        jobs = measured[measured["backend"] == name]
        medians = jobs.groupby(along)[column].median()
        axis.plot(medians.index, medians, color=colours[name], label=name)
        axis.plot(jobs[along], jobs[column], ".", color=colours[name], markersize=6)
    axis.set_xscale("log", base=2)
    sizes = sorted(map(int, facet[along].unique()))
    axis.set_xticks(sizes, [f"{size:,}" for size in sizes])
    axis.xaxis.set_minor_locator(NullLocator())
    axis.set_xlabel(along.replace("_", " "))
