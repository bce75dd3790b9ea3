"""The heat map of ratios between setups: a row per workload, a column per backend."""

from __future__ import annotations

from collections.abc import Iterable
from math import exp, log

import altair as alt

from bench.report.chart.style import FILE_INK, Row, layers, panel, shown
from bench.report.form.blocks import Chart

_CAPTION = (
    "Epoch time divided by the epoch time of the first setup. Blue: faster; red: slower. The"
    " deepest colour: a factor of 2 or more."
)
_STEP, _COLUMN = 26, 44  # pixels: the height of a row, the width of a column
_DEEPEST = 2.0  # the ratio with the deepest colour


def heat_map(ratios: Iterable[tuple[str, str, str, float, str]]) -> Chart | None:
    """A panel per setup; None without a ratio.

    Args:
        ratios: (setup, workload, backend, epoch time divided by the first setup's, its text).
    """
    rows_by_setup: dict[str, list[Row]] = {}
    for setup, workload, backend, ratio, text in ratios:
        row = {"workload": workload, "backend": backend, "value": log(ratio)}
        rows_by_setup.setdefault(setup, []).append({**row, "text": text})
    panels = [
        panel(
            setup,
            _marks(),
            rows,
            height=_STEP * len({row["workload"] for row in rows}),
            width=_COLUMN * len({row["backend"] for row in rows}),
        )
        for setup, rows in rows_by_setup.items()
    ]
    return Chart("ratios", _CAPTION, tuple(panels)) if panels else None


def geometric_mean(ratios: Iterable[float]) -> float:
    """The n-th root of the product of n ratios, all positive."""
    logs = [log(ratio) for ratio in ratios]
    return exp(sum(logs) / len(logs))


def _marks() -> alt.LayerChart:
    cells = shown().encode(
        x=alt.X(
            "backend:N",
            sort=None,
            title=None,
            axis=alt.Axis(labelAngle=-45, domain=False, ticks=False),
        ),
        y=alt.Y("workload:N", sort=None, title=None, axis=alt.Axis(domain=False, ticks=False)),
    )
    scale = alt.Scale(
        domain=[-log(_DEEPEST), 0, log(_DEEPEST)],
        range=["#7fb2e5", "#eef0f3", "#ec8f7a"],
        clamp=True,
    )
    return layers(
        cells.mark_rect().encode(
            color=alt.Color("value:Q", scale=scale, legend=None),
            tooltip=["workload:N", "backend:N", "text:N"],
        ),
        cells.mark_text(fontSize=10, color=FILE_INK).encode(text="text:N"),
    )
