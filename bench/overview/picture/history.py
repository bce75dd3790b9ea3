"""Pictures of the history of frameworks: time line, family tree, mentions, and layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator

from bench.overview.facts import Descent, Framework, Mentions, year_of
from bench.overview.picture.style import ACCENT, GOOD, INK, PALE, bare, figure, text_of

_BOX = {"boxstyle": "round,pad=0.35", "lw": 0.7}


def time_line(frameworks: Sequence[Framework], today: float) -> Figure:
    """A bar per framework from its first to its last release, or to today if it is maintained.

    Args:
        frameworks: the frameworks; those without a date of the first release are left out.
        today: the date of today in years, such as 2026.9.
    """
    dated = [(f, start) for f in frameworks if (start := year_of(f.facts.first_release))]
    dated.sort(key=lambda pair: pair[1])
    drawn = figure()
    axes = drawn.subplots()
    for row, (framework, start) in enumerate(dated):
        last = year_of(framework.facts.last_release)
        goes_on = framework.is_maintained
        stopped = last or year_of(framework.facts.state) or today
        end = today if goes_on else stopped
        colour = GOOD if goes_on else PALE
        axes.barh(row, max(end - start, 0.1), left=start, color=colour, height=0.55)
        axes.annotate(f"{framework.name} ", (start, row), ha="right", va="center", fontsize=6.5)
        if not goes_on:
            axes.annotate(
                f" last release {framework.facts.last_release.value}"
                if framework.facts.last_release
                else " no release found",
                (end, row),
                va="center",
                fontsize=5.5,
                color=INK,
            )
    axes.invert_yaxis()
    axes.set_yticks([])
    axes.spines["left"].set_visible(False)
    axes.set_xlim(min(start for _, start in dated) - 3.2, today + 0.4)
    axes.xaxis.set_major_locator(MultipleLocator(2))
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)
    axes.barh([-9], [0], color=GOOD, label="developed today")
    axes.barh([-9], [0], color=PALE, label="no longer developed")
    axes.set_ylim(len(dated) - 0.5, -0.6)
    axes.legend(loc="lower left", fontsize=6)
    return drawn


def family_tree(edges: Sequence[Descent]) -> Figure:
    """Frameworks as boxes, with an arrow from a parent to a child."""
    places = _layout(edges)
    drawn = figure()
    axes = drawn.subplots()
    bare(axes)
    for edge in edges:
        start, end = places[edge.parent], places[edge.child]
        axes.annotate(
            "", end, start, arrowprops={"arrowstyle": "-|>", "color": PALE, "shrinkA": 22,
                                        "shrinkB": 24, "lw": 0.8},
        )  # fmt: skip
        axes.annotate(
            edge.relation, _on_arrow(start, end), ha="center", va="bottom", fontsize=5.2,
            color=INK, xytext=(0, 1), textcoords="offset points",
        )  # fmt: skip
    children = {edge.child for edge in edges}
    for name, (x, y) in places.items():
        last = name in children and all(edge.parent != name for edge in edges)
        box = {**_BOX, "fc": "#e8f0fb" if last else "white", "ec": ACCENT if last else PALE}
        axes.text(x, y, name, ha="center", va="center", bbox=box)
    xs, ys = zip(*places.values(), strict=True)
    axes.set_xlim(min(xs) - 0.3, max(xs) + 0.3)
    axes.set_ylim(max(ys) + 0.6, min(ys) - 0.6)
    return drawn


def _on_arrow(start: tuple[float, float], end: tuple[float, float]) -> tuple[float, float]:
    """The place of an arrow's text, away from the texts of other arrows to the same box."""
    part = 0.5 if start[1] == end[1] else 0.27 if end[0] - start[0] > 1 else 0.62
    return start[0] + part * (end[0] - start[0]), start[1] + part * (end[1] - start[1])


def _layout(edges: Sequence[Descent]) -> dict[str, tuple[float, float]]:
    """Name -> (column, row); the column is the number of steps from the oldest ancestor."""
    names = list(dict.fromkeys(name for edge in edges for name in (edge.parent, edge.child)))
    parents = {name: [e.parent for e in edges if e.child == name] for name in names}

    def depth(name: str) -> int:
        return 1 + max(map(depth, parents[name])) if parents[name] else 0

    rows: dict[str, float] = {}

    def place(name: str) -> float:
        """The row of a name: the mean of its parents' rows; without parents, a new row."""
        if name not in rows:
            above = [place(parent) for parent in parents[name]]
            roots = [row for other, row in rows.items() if not parents[other]]
            rows[name] = sum(above) / len(above) if above else max(roots, default=-1.0) + 1
        return rows[name]

    last = [name for name in names if all(edge.parent != name for edge in edges)]
    for name in last:
        place(name)
    places = {name: (float(depth(name)), rows[name]) for name in names}
    return _apart(places)


def _apart(places: Mapping[str, tuple[float, float]]) -> dict[str, tuple[float, float]]:
    """The same places; names of one column are at least 0.8 rows apart."""
    moved: dict[str, tuple[float, float]] = {}
    lowest: dict[float, float] = {}
    for name, (column, row) in sorted(places.items(), key=lambda item: item[1]):
        free = max(row, lowest.get(column, -9.0) + 0.8)
        lowest[column] = free
        moved[name] = (column, free)
    return moved


def mentions(counted: Mentions) -> Figure:
    """A bar per framework: the share of papers that name it."""
    drawn = figure(height=2.1)
    axes = drawn.subplots()
    names = [*counted.percent, *counted.under_one]
    values = [*counted.percent.values(), *[0.0] * len(counted.under_one)]
    texts = [*(f"{value:g} %" for value in counted.percent.values())]
    texts += ["under 1 %"] * len(counted.under_one)
    axes.barh(range(len(names)), values, color=ACCENT, height=0.62)
    for row, (value, text) in enumerate(zip(values, texts, strict=True)):
        axes.annotate(text, (value, row), xytext=(3, 0), textcoords="offset points", va="center")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(axis="y", length=0)
    axes.invert_yaxis()
    axes.set_xlabel(f"papers that name it, %, counted in {counted.date}")
    return drawn


def layers(rows: Sequence[tuple[str, Sequence[str]]]) -> Figure:
    """The layers of frameworks, from the user's code at the top to the hardware.

    Args:
        rows: per layer, what it does, and the programs that do it.
    """
    drawn = figure()
    axes = drawn.subplots()
    bare(axes)
    for row, (task, names) in enumerate(rows):
        axes.text(0, row, task, va="center", ha="left", fontweight="bold")
        width = 3.0 / len(names)
        for index, name in enumerate(names):
            _brick(axes, 1.55 + index * width, row, width - 0.04, text_of(name))
    axes.set_xlim(0, 4.55)
    axes.set_ylim(len(rows) - 0.5, -0.5)
    return drawn


def _brick(axes: Axes, left: float, row: float, width: float, text: str) -> None:
    axes.barh(row, width, left=left, height=0.72, color="#e8f0fb", edgecolor=ACCENT, lw=0.6)
    axes.text(left + width / 2, row, text, ha="center", va="center", fontsize=6.5)
