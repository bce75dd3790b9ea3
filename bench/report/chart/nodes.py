"""The chart of a fleet: the ratio of every node, from the fastest to the slowest."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from math import inf

import altair as alt

from bench.report.chart.style import PALE, Row, layers, panel, shown
from bench.report.form.blocks import Chart, Panel
from bench.statistics.nodes.slow import Standing

_CAPTION = (
    "Time of each node divided by its fleet's: median over sessions, with a 95 % interval. The"
    " fastest node is first. Red: slow nodes; the slowest are named, in this order."
)
_WIDTH, _HEIGHT = 1000, 260  # pixels
_MANY = 60  # the intervals of more nodes would be a grey area
_COLOURS = {"slow": "#d03b3b", "usual": "#2f74d0", "unknown": PALE}
_MOST_NAMED = 8
_LINE = 14  # pixels of a name


def nodes_chart(fleets: Mapping[str, Mapping[str, Standing]]) -> Chart | None:
    """A panel per fleet; None without a ratio.

    Args:
        fleets: fleet -> node -> its comparison with the fleet.
    """
    panels = [_panel(name, standings) for name, standings in fleets.items() if standings]
    return Chart("nodes", _CAPTION, tuple(panels)) if panels else None


def _panel(name: str, standings: Mapping[str, Standing]) -> Panel:
    rows = list(_rows(standings))
    base, rules = shown(), 0.5 if len(rows) <= _MANY else 0.2
    x = alt.X("place:Q", title="nodes", axis=alt.Axis(grid=False, format="d", tickMinStep=1))
    scale = alt.Scale(zero=False, nice=False)
    y = alt.Y("ratio:Q", title="ratio", scale=scale, axis=alt.Axis(format=".2f"))
    colours = alt.Scale(domain=[*_COLOURS], range=[*_COLOURS.values()])
    colour = alt.Color("outcome:N", scale=colours, legend=None)
    tip = ["node:N", alt.Tooltip("ratio:Q", format=".3f"), "outcome:N", "sessions:Q"]
    chart = layers(
        base.mark_rule(opacity=rules).encode(x=x, y=alt.Y("low:Q", scale=scale), y2="high:Q"),
        base.mark_point(filled=True, size=30, opacity=1).encode(
            x=x, y=y, color=colour, tooltip=tip
        ),
        base.mark_text(align="left", dx=8, fontSize=11).encode(
            x=alt.X(datum=len(rows)), y=alt.Y("name_at:Q", scale=scale), text="name:N"
        ),
    )
    return panel(name, chart, rows, height=_HEIGHT, width=_WIDTH)


def _rows(standings: Mapping[str, Standing]) -> Iterable[Row]:
    """A row per node; the slowest of the slow nodes have their names beside the chart."""
    ordered = sorted(standings.items(), key=lambda item: item[1].ratio)
    slow = [node for node, standing in reversed(ordered) if standing.outcome == "slow"]
    lows, highs = zip(*map(_interval, standings.values()), strict=True)
    line = (max(highs) - min(lows)) * _LINE / _HEIGHT
    names: dict[str, float] = {}
    below = inf
    for node in slow[:_MOST_NAMED]:  # each below the previous one
        names[node] = below = min(standings[node].ratio, below - line)
    for place, (node, standing) in enumerate(ordered, start=1):
        yield {
            "place": place,
            "node": node,
            "ratio": standing.ratio,
            "low": _interval(standing)[0],
            "high": _interval(standing)[1],
            "outcome": standing.outcome,
            "sessions": standing.sessions,
            "name": node if node in names else "",
            "name_at": names.get(node, standing.ratio),
        }


def _interval(standing: Standing) -> tuple[float, float]:
    """The ends of a node's interval; without an interval, its ratio twice."""
    if standing.low is None or standing.high is None:
        return standing.ratio, standing.ratio
    return standing.low, standing.high
