"""The chart of a fleet: the ratio of every node, from the fastest to the slowest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import altair as alt

from bench.report.chart.style import PALE, Row, layers, panel, shown
from bench.report.form.blocks import Chart, Panel
from bench.statistics.nodes.slow import Standing

_CAPTION = (
    "Time of each node divided by its fleet's, median over sessions, with the interval of 95 %;"
    " from the fastest node to the slowest. Red: slow."
)
_WIDTH, _HEIGHT = 560, 190  # pixels
_COLOURS = {"slow": "#d03b3b", "usual": "#2f74d0", "unknown": PALE}
_MOST_NAMED = 8


def nodes_chart(fleets: Mapping[str, Mapping[str, Standing]]) -> Chart | None:
    """A panel per fleet; None without a ratio.

    Args:
        fleets: fleet -> node -> how it compares.
    """
    panels = [_panel(name, standings) for name, standings in fleets.items() if standings]
    return Chart("nodes", _CAPTION, tuple(panels)) if panels else None


def _panel(name: str, standings: Mapping[str, Standing]) -> Panel:
    rows = list(_rows(standings))
    base = shown()
    x = alt.X("place:Q", title="nodes", axis=alt.Axis(grid=False, format="d", tickMinStep=1))
    scale = alt.Scale(zero=False, nice=False)
    y = alt.Y("ratio:Q", title="ratio", scale=scale, axis=alt.Axis(format=".2f"))
    colours = alt.Scale(domain=[*_COLOURS], range=[*_COLOURS.values()])
    colour = alt.Color("outcome:N", scale=colours, legend=None)
    tip = ["node:N", alt.Tooltip("ratio:Q", format=".3f"), "outcome:N", "sessions:Q"]
    chart = layers(
        base.mark_rule(opacity=0.5).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_point(filled=True, size=22, opacity=1).encode(
            x=x, y=y, color=colour, tooltip=tip
        ),
        base.mark_text(align="right", dx=-6, fontSize=11).encode(x=x, y=y, text="name:N"),
    )
    return panel(name, chart, rows, height=_HEIGHT, width=_WIDTH)


def _rows(standings: Mapping[str, Standing]) -> Iterable[Row]:
    """A row per node; the slowest ones that are slow have their names beside them."""
    ordered = sorted(standings.items(), key=lambda item: item[1].ratio)
    slow = [node for node, standing in reversed(ordered) if standing.outcome == "slow"]
    for place, (node, standing) in enumerate(ordered, start=1):
        yield {
            "place": place,
            "node": node,
            "ratio": standing.ratio,
            "low": standing.ratio if standing.low is None else standing.low,
            "high": standing.ratio if standing.high is None else standing.high,
            "outcome": standing.outcome,
            "sessions": standing.sessions,
            "name": node if node in slow[:_MOST_NAMED] else "",
        }
