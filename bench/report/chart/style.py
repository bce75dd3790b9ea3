"""Colours, markers and sizes of all charts."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import inf, isfinite
from typing import Any, cast
from zlib import crc32

import altair as alt

from bench.records.job import usual_name
from bench.report.form.blocks import Panel
from bench.report.form.visible import visible

Row = dict[str, Any]

# A colour and a marker per backend, the same in every chart of every run. The colour shows the
# engine: orange for TensorFlow, green for JAX, blue for PyTorch, pink for scikit-learn. All colours
# have a contrast of at least 3:1 to a light or dark page. Markers distinguish backends without
# colours.
LOOKS = {
    "keras-tensorflow": ("#c2500a", "circle"),
    "keras-tensorflow-tuned": ("#c2500a", "triangle-down"),
    "keras-tensorflow-xla": ("#c2500a", "triangle-up"),
    "tensorflow": ("#c97a10", "square"),
    "tensorflow-xla": ("#c97a10", "triangle-up"),
    "keras-jax": ("#1d7f55", "circle"),
    "keras-jax-tuned": ("#1d7f55", "triangle-down"),
    "jax": ("#2f9a8c", "square"),
    "jax-tuned": ("#2f9a8c", "triangle-down"),
    "keras-torch": ("#6a5acd", "circle"),
    "keras-torch-tuned": ("#6a5acd", "triangle-down"),
    "pytorch": ("#2f74d0", "square"),
    "pytorch-tuned": ("#2f74d0", "triangle-down"),
    "pytorch-compiled": ("#1390b8", "triangle-up"),
    "pytorch-compiled-tuned": ("#1390b8", "triangle-down"),
    "scikit-learn": ("#b0487f", "diamond"),
    "reference": ("#757d89", "cross"),
}
_OTHER_COLOURS = ("#a8518a", "#8a6d3b", "#b23a48", "#7a7f2a", "#8b5fbf", "#757d89")
_MARKERS = (
    *("circle", "square", "triangle-up", "triangle-down", "diamond", "cross"),
    *("triangle-left", "triangle-right"),
)
_WIDTH, _STEP = 190, 22  # pixels: of a panel, and of a row in it
MOST_ROWS = 40  # of a panel
_ROWS = "rows"  # the name of a panel's data
# The text takes the colour of the page around it; files have black text.
INK, PALE, FILE_INK = "currentColor", "#8c939e", "#1c2430"
# (factor, ticks in every power of ten): used if the data of a logarithmic axis differ by less.
_TICKS: tuple[tuple[float, tuple[float, ...]], ...] = (
    (4.0, (1, 1.1, 1.2, 1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 9)),
    (200.0, (1, 2, 5)),
    (inf, (1,)),
)
_CONFIG = {
    "background": "transparent",
    "font": "system-ui, sans-serif",
    "padding": {"left": 2, "right": 6, "top": 2, "bottom": 2},
    "view": {"stroke": None},
    "axis": {
        "labelColor": INK,
        "titleColor": INK,
        "labelFontSize": 12,
        "titleFontSize": 12,
        "titleFontWeight": "normal",
        "gridColor": PALE,
        "gridOpacity": 0.3,
        "domainColor": PALE,
        "tickColor": PALE,
    },
    "legend": {"labelColor": INK, "labelFontSize": 12, "symbolSize": 70, "labelLimit": 220},
}


def looks_of(backends: Iterable[str]) -> dict[str, tuple[str, str]]:
    """The colour and the marker of each backend, by name.

    Backends in `LOOKS` look the same in every chart. Native mode ("pytorch, native"), another
    version of a framework ("pytorch@2.12.0") and another precision ("pytorch (bfloat16)") have the
    colour of the plain backend, and the next free marker. The colour of other backends follows from
    their name.
    """
    names = [*backends]
    looks = {name: LOOKS[name] for name in names if name in LOOKS}
    used = {*LOOKS.values()}
    for backend in sorted({*names} - looks.keys()):
        name = usual_name(backend).partition(", ")[0].partition("@")[0]
        number = crc32(visible(name).encode())
        shade, shape = LOOKS.get(name, (_OTHER_COLOURS[number % len(_OTHER_COLOURS)], _MARKERS[0]))
        first = _MARKERS.index(shape)
        free = ((shade, marker) for marker in (*_MARKERS[first:], *_MARKERS[:first]))
        looks[backend] = next((look for look in free if look not in used), (shade, shape))
        used.add(looks[backend])
    return {name: looks[name] for name in names}


def colour(backends: Iterable[str], *, legend: bool = False) -> alt.Color:
    """The channel that colours marks by the field `backend`."""
    looks = looks_of(dict.fromkeys(backends))
    scale = alt.Scale(domain=[*looks], range=[shade for shade, _ in looks.values()])
    return alt.Color("backend:N", scale=scale, legend=_legend() if legend else None)


def marker(backends: Iterable[str], *, legend: bool = False) -> alt.Shape:
    """The channel that chooses a marker by the field `backend`."""
    looks = looks_of(dict.fromkeys(backends))
    scale = alt.Scale(domain=[*looks], range=[shape for _, shape in looks.values()])
    return alt.Shape("backend:N", scale=scale, legend=_legend() if legend else None)


def _legend() -> alt.Legend:
    return alt.Legend(title=None, orient="bottom", columns=2)


def log_axis(data: Sequence[float]) -> alt.Axis:
    """The axis of a logarithmic scale; it has more ticks if the data are close to each other.

    Vega would draw nine ticks in every power of ten, most of them without a number. If all data
    have one value, it is the only tick, as Vega would draw all ticks there.
    """
    span = max(data) / min(data)
    if span == 1:
        return alt.Axis(values=[data[0]], format=".3~g")
    steps = next(steps for most, steps in _TICKS if span < most)
    values = [float(f"{step}e{power}") for power in range(-6, 7) for step in steps]
    return alt.Axis(values=values, format="~g", labelFlush=False, labelOverlap="greedy")


def unit_axis(unit: str) -> alt.Axis:
    """An axis whose numbers have a unit."""
    text = f"datum.label ? datum.label + ' {unit}' : ''"
    return alt.Axis(tickCount=4, labelFlush=False, format=".4~g", labelExpr=text)


def names_axis(backends: Sequence[str]) -> alt.Y:
    """The axis with a row per backend, in this order."""
    axis = alt.Axis(title=None, labelLimit=220, ticks=False, domain=False, labelPadding=6)
    return alt.Y("backend:N", sort=list(backends), axis=axis)


def column_of_figures(rows: alt.Chart) -> alt.Chart:
    """The field `text` of each row, to the right of the panel."""
    text = rows.mark_text(align="left", color=INK, fontSize=12)
    return cast("alt.Chart", text.encode(x=alt.value(_WIDTH + 8), text="text:N"))


def shown() -> alt.Chart:
    """The rows of a panel (see `panel`) whose backends the reader has not hidden."""
    chart = alt.Chart(alt.NamedData(_ROWS))
    return chart.transform_filter("indexof(hidden, datum.backend) < 0")


def layers(*charts: alt.Chart, params: dict[str, str] | None = None) -> alt.LayerChart:
    """Charts on top of each other; the page's script sets their parameters.

    Args:
        charts: made by `shown`.
        params: further parameters and their values. `hidden`, the backends that the reader has
            hidden, is added.
    """
    values: dict[str, Any] = {"hidden": [], **(params or {})}
    named = [alt.param(name=name, value=value) for name, value in values.items()]
    return cast("alt.LayerChart", alt.layer(*charts).add_params(*named))


def panel(
    title: str,
    chart: alt.LayerChart,
    data: Sequence[Row],
    *,
    rows: int = 0,
    height: int = 0,
    width: int = _WIDTH,
) -> Panel:
    """A panel of a chart.

    Args:
        title: its title.
        chart: its marks, on the data of `shown`.
        data: the data, in Vega-Lite's form.
        rows: the number of rows; or
        height: the height in pixels.
        width: the width in pixels, without names and figures.
    """
    sized = chart.properties(width=width, height=height or _STEP * max(rows, 1))
    # Only the tests validate: it would take most of the time here. Altair also copies everything at
    # each step, so data and configuration are added to its result.
    spec = sized.to_dict(validate=False)
    added = {"description": title, "config": _CONFIG, "datasets": {_ROWS: [*data]}}
    return Panel(title, _seen({**spec, **added}))


def _seen(part: Any) -> Any:
    """The specification as valid JSON, with all characters visible.

    Invisible characters would end the process that draws it. Infinite numbers and NaN become null.
    """
    if isinstance(part, str):
        return visible(part)
    if isinstance(part, float):
        return part if isfinite(part) else None
    if isinstance(part, list):
        return [_seen(item) for item in part]
    return {key: _seen(value) for key, value in part.items()} if isinstance(part, dict) else part
