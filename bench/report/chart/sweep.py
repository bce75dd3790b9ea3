"""Charts of a sweep: throughput and memory against size."""

from __future__ import annotations

import altair as alt
import pandas as pd

from bench.report.chart.style import Row, colour, layers, marker, panel, shown
from bench.report.form.blocks import Chart

_MEASURES = (("images_per_second", "images/s", True), ("gigabytes", "peak memory, GB", False))
_HEIGHT = 170


def sweep(name: str, points: pd.DataFrame) -> Chart:
    """Throughput and memory against batch size, with panels per width; or against width.

    Args:
        name: the name of the chart.
        points: a row per job: backend, width, batch_size, images_per_second, and memory in bytes.
    """
    points = points.assign(gigabytes=points["memory"] / 1e9)
    along = "batch_size" if points["batch_size"].nunique() > 1 else "width"
    facets = [f for _, f in points.groupby("width")] if along == "batch_size" else [points]
    panels = []
    for facet in facets:
        for column, unit, log in _MEASURES:
            if facet[column].notna().any():
                width = f"width {facet['width'].iloc[0]}: " if along == "batch_size" else ""
                rows = _rows(facet, along, column)
                chart = _marks(rows, along, log=log)
                panels.append(panel(f"{width}{unit}", chart, rows, height=_HEIGHT))
    return Chart(name, _caption(along), tuple(panels))


def _caption(along: str) -> str:
    size = "batch size, a row per width" if along == "batch_size" else "width"
    return (
        f"Training images per second and peak memory against {size}. Points: medians over jobs;"
        " small points: jobs."
    )


def _rows(facet: pd.DataFrame, along: str, column: str) -> list[Row]:
    """A row per job, and a row per median over jobs."""
    jobs = facet[["backend", along, column]].dropna()
    medians = jobs.groupby(["backend", along], observed=True)[column].median().reset_index()
    return [
        {"backend": str(backend), "size": int(size), "value": float(value), "kind": kind}
        for kind, rows in (("job", jobs), ("median", medians))
        for backend, size, value in rows.itertuples(index=False, name=None)
    ]


def _marks(rows: list[Row], along: str, *, log: bool) -> alt.LayerChart:
    backends = list(dict.fromkeys(row["backend"] for row in rows))
    sizes = sorted({row["size"] for row in rows})
    x = alt.X(
        "size:Q",
        title=along.replace("_", " "),
        scale=alt.Scale(type="log", base=2, nice=False, padding=8),
        axis=alt.Axis(values=sizes, format=",d"),
    )
    scale = alt.Scale(type="log", nice=False, padding=8) if log else alt.Scale(zero=True)
    y = alt.Y(
        "value:Q", title=None, scale=scale, axis=alt.Axis(tickCount=4, format="~s" if log else "~g")
    )
    colours, markers = colour(backends, legend=True), marker(backends, legend=True)
    all_rows = shown().encode(x=x, y=y, color=colours)
    medians = all_rows.transform_filter("datum.kind === 'median'")
    return layers(
        all_rows.transform_filter("datum.kind === 'job'").mark_point(
            filled=True, size=10, opacity=0.6
        ),
        medians.mark_line(strokeWidth=1.5),
        medians.mark_point(filled=True, size=45, opacity=1).encode(
            shape=markers,
            tooltip=["backend:N", "size:Q", alt.Tooltip("value:Q", format=".3~g")],
        ),
    )
