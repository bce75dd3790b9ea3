"""The roofline plot: a panel per engine, its roofs, and a point per training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from bench.limits import EngineLimits
from bench.report import words
from bench.report.plots import STYLE, colours_of, save
from bench.roofline import Standing

_MARKERS = "os^Dv*XPp<>h"  # by workload
_PANELS_PER_ROW = 2
_MARGIN = 4.0  # times, to both sides of the points, so that a ridge near them is seen


class Point(NamedTuple):
    """A training's place: the workload's label, the contestant, the engine it ran on."""

    workload: str
    backend: str
    environment: str
    standing: Standing


def write_roofs(points: Sequence[Point], engines: Mapping[str, EngineLimits], path: Path) -> None:
    """Write a roofline as `path`.png and .svg; engines without a point have no panel."""
    with mpl.rc_context(STYLE):
        path.parent.mkdir(parents=True, exist_ok=True)
        save(_figure(points, engines), path)


def _figure(points: Sequence[Point], engines: Mapping[str, EngineLimits]) -> Figure:
    names = list(dict.fromkeys(point.environment for point in points))
    columns = min(len(names), _PANELS_PER_ROW)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(1.0 + 5.0 * columns, 0.9 + 3.6 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, sharex=True, sharey=True).flatten()
    for unused in axes[len(names) :]:
        unused.set_axis_off()
    every = [point.standing.intensity for point in points]
    span = np.geomspace(min(every) / _MARGIN, max(every) * _MARGIN, 200)  # (200,)
    for axis, name in zip(axes, names, strict=False):
        _draw_roofs(axis, engines[name], span)
        for point in points:
            if point.environment == name:
                _draw_point(axis, point, points)
        axis.set_title(f"engine {name}", loc="left", fontweight="bold")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: words.rate(y, "FLOP/s")))
        axis.set_xlabel("FLOP per byte moved, at least")
        axis.set_ylabel("arithmetic")
    entries = {label: handle for axis in axes for handle, label in zip(*axis.get_legend_handles_labels(), strict=True)}
    figure.legend(entries.values(), entries.keys(), loc="outside lower center", ncols=3, frameon=False)
    return figure


def _draw_roofs(axis: Axes, limits: EngineLimits, span: np.ndarray) -> None:
    product, memory, convolution = (limits.best(name) for name in ("matmul", "memory", "convolution"))
    if product is None or memory is None:
        return
    sizes = [found.per_second for found in limits.reached if found.operation == "memory"]
    axis.plot(span, np.minimum(product.per_second, span * memory.per_second), color="black", label="product, memory")
    lower = (convolution or product).per_second
    slope = span * sizes[-1]
    axis.plot(span, np.minimum(lower, slope), color="black", linestyle="--", label="convolution, largest arrays")


def _draw_point(axis: Axes, point: Point, points: Sequence[Point]) -> None:
    colours = colours_of(pd.DataFrame({"contestant": [other.backend for other in points]}))
    workloads = list(dict.fromkeys(other.workload for other in points))
    axis.plot(
        [point.standing.intensity],
        [point.standing.flops_per_second],
        linestyle="",
        marker=_MARKERS[workloads.index(point.workload) % len(_MARKERS)],
        color=colours[point.backend],
        label=f"{point.workload}, {point.backend}",
    )
