"""Draws the roofline plot: a panel per engine with its roofs, and a point per training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle
from pathlib import Path
from typing import Any, NamedTuple

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter

from bench.records.limits import EngineLimits
from bench.report.form import words
from bench.report.plot.style import STYLE, colours_of, save
from bench.statistics.roofline import Utilization

_MARKERS = "os^Dv*XPp<>h"  # by workload
_PANELS_PER_ROW = 2
_ROOFS: dict[str, dict[str, Any]] = {
    "matmul": {"color": "black", "label": "matrix product, memory"},
    "largest": {"color": "black", "linestyle": ":", "label": "memory, largest arrays"},
    "convolution": {"color": "black", "linestyle": "--", "linewidth": 1, "label": "convolution"},
}
# Roofs extend by this factor beyond the points on both sides.
_MARGIN = 4.0


class Point(NamedTuple):
    """A training in the plot: the workload's label, the backend, the engine, its utilization."""

    workload: str
    backend: str
    environment: str
    utilization: Utilization


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
    intensities = [point.utilization.intensity for point in points]
    span = min(intensities) / _MARGIN, max(intensities) * _MARGIN
    workloads = dict.fromkeys(point.workload for point in points)
    markers = dict(zip(workloads, cycle(_MARKERS)))
    colours = colours_of(point.backend for point in points)
    for axis, name in zip(axes, names, strict=False):
        _draw_roofs(axis, engines[name], span)
        for point in points:
            if point.environment == name:
                axis.plot(
                    point.utilization.intensity,
                    point.utilization.flops_per_second,
                    marker=markers[point.workload],
                    color=colours[point.backend],
                )
        axis.set_title(f"engine {name}", loc="left", fontweight="bold")
        axis.set_xscale("log")
        axis.set_yscale("log")
        axis.xaxis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:g}"))
        axis.yaxis.set_major_formatter(FuncFormatter(lambda y, _: words.rate(y, "FLOP/s")))
        axis.tick_params(labelbottom=True)
        axis.set_xlabel("FLOP per byte moved, at most")
    figure.legend(
        handles=_legend(markers, colours), loc="outside lower center", ncols=4, frameon=False
    )
    return figure


def _draw_roofs(axis: Axes, limits: EngineLimits, span: tuple[float, float]) -> None:
    matmul, memory, convolution = (
        limits.best(name) for name in ("matmul", "memory", "convolution")
    )
    if matmul is None or memory is None:
        return
    sizes = [rate.per_second for rate in limits.reached if rate.operation == "memory"]
    for bandwidth, roof in ((memory.per_second, "matmul"), (sizes[-1], "largest")):
        # Two straight lines on these axes, which meet where both are the limit.
        x = sorted({*span, min(max(matmul.per_second / bandwidth, span[0]), span[1])})
        rates = [min(matmul.per_second, intensity * bandwidth) for intensity in x]
        axis.plot(x, rates, **_ROOFS[roof])
    if convolution:
        axis.axhline(convolution.per_second, **_ROOFS["convolution"])


def _legend(markers: Mapping[str, str], colours: Mapping[str, str]) -> list[Line2D]:
    """The roofs, a marker per workload, a colour per backend."""
    roofs = [Line2D([], [], **style) for style in _ROOFS.values()]
    black: dict[str, Any] = {"linestyle": "", "color": "black", "markerfacecolor": "white"}
    workloads = [Line2D([], [], marker=mark, label=name, **black) for name, mark in markers.items()]
    backends = [
        Line2D([], [], linestyle="", marker="o", color=colour, label=name)
        for name, colour in colours.items()
    ]
    return [*roofs, *workloads, *backends]
