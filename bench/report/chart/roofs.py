"""The roofline chart: a panel per engine with its roofs, and a point per training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import altair as alt

from bench.records.limits import EngineLimits
from bench.report.chart.style import INK, Row, colour, layers, marker, panel, shown
from bench.report.form import words
from bench.report.form.blocks import Chart
from bench.statistics.roofline import Utilization

_CAPTION = (
    "Rooflines: lines are each engine's peak rates, points are trainings. Solid: matrix product,"
    " and memory at its fastest (mostly in a cache); dotted: memory with the largest arrays;"
    " dashed: convolution. The distance of a point from the lines is the cost of overhead and slow"
    " kernels."
)
_DASHES = {"matmul": [1, 0], "largest": [2, 2], "convolution": [6, 4]}
# Roofs extend by this factor beyond the points on both sides.
_MARGIN = 4.0
_HEIGHT = 210


class Point(NamedTuple):
    """A training in the chart: the workload's label, the backend, the engine, its utilization."""

    workload: str
    backend: str
    environment: str
    utilization: Utilization


def rooflines(name: str, points: Sequence[Point], engines: Mapping[str, EngineLimits]) -> Chart:
    """A roofline per engine with a point; its panels have the same axes.

    Args:
        name: the name of the chart.
        points: the trainings.
        engines: the limits of each engine, by the name of its environment.
    """
    intensities = [point.utilization.intensity for point in points]
    span = min(intensities) / _MARGIN, max(intensities) * _MARGIN
    data = {
        environment: [
            *_roofs(engines[environment], span),
            *(_row(point) for point in points if point.environment == environment),
        ]
        for environment in dict.fromkeys(point.environment for point in points)
    }
    rates = [row["rate"] for rows in data.values() for row in rows]
    panels = [
        panel(f"engine {environment}", _marks(rows, (min(rates), max(rates))), rows, height=_HEIGHT)
        for environment, rows in data.items()
    ]
    return Chart(name, _CAPTION, tuple(panels))


def _row(point: Point) -> Row:
    used = point.utilization
    return {
        "workload": point.workload,
        "backend": point.backend,
        "intensity": used.intensity,
        "rate": used.flops_per_second,
        "text": words.rate(used.flops_per_second, "FLOP/s"),
        "share": words.share(used.of_attainable),
    }


def _roofs(limits: EngineLimits, span: tuple[float, float]) -> list[Row]:
    """The ends and corners of the lines."""
    matmul, memory, convolution = (
        limits.best(name) for name in ("matmul", "memory", "convolution")
    )
    largest = limits.largest("memory")
    if matmul is None or memory is None or largest is None:
        return []
    rows: list[Row] = []
    for bandwidth, roof in ((memory.per_second, "matmul"), (largest.per_second, "largest")):
        # On these axes a roof is two straight lines, which meet in this corner.
        corner = min(max(matmul.per_second / bandwidth, span[0]), span[1])
        rows += [
            {"roof": roof, "intensity": x, "rate": min(matmul.per_second, x * bandwidth)}
            for x in sorted({*span, corner})
        ]
    if convolution:
        rows += [
            {"roof": "convolution", "intensity": x, "rate": convolution.per_second} for x in span
        ]
    return rows


def _marks(rows: Sequence[Row], rates: tuple[float, float]) -> alt.LayerChart:
    backends = [row["backend"] for row in rows if "backend" in row]
    rate_scale = alt.Scale(type="log", domain=list(rates), nice=False, padding=8)
    x = alt.X(
        "intensity:Q",
        title="FLOP per byte moved, at most",
        scale=alt.Scale(type="log", nice=False),
        axis=alt.Axis(tickCount=4, format="~g"),
    )
    y = alt.Y(
        "rate:Q",
        title=None,
        scale=rate_scale,
        # SI prefixes: G is 10^9.
        axis=alt.Axis(
            tickCount=5, format="~s", labelExpr="datum.label ? datum.label + 'FLOP/s' : ''"
        ),
    )
    dash = alt.Scale(domain=list(_DASHES), range=list(_DASHES.values()))
    roofs = shown().transform_filter("isValid(datum.roof)")
    points = shown().transform_filter("isValid(datum.workload)").encode(x=x, y=y)
    return layers(
        roofs.mark_line(color=INK, strokeWidth=1.2).encode(
            x=x, y=y, strokeDash=alt.StrokeDash("roof:N", scale=dash, legend=None)
        ),
        points.mark_point(filled=True, size=60, opacity=1).encode(
            color=colour(backends, legend=True),
            shape=marker(backends, legend=True),
            tooltip=["backend:N", "workload:N", "text:N", "share:N"],
        ),
        points.mark_text(align="left", dx=7, fontSize=10, color=INK).encode(text="workload:N"),
    )
