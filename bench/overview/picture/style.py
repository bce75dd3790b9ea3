"""Sizes, colours and files of pictures; the same picture always has the same bytes."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from bench.overview.slides import Picture
from bench.report.form.visible import visible

# Inches: the width of the text on a Beamer slide of 16:9, and two thirds of its height.
WIDTH, HEIGHT = 5.6, 2.45
INK, PALE, GRID = "#1c2430", "#8c939e", "#d9dde3"
ACCENT, GOOD, BAD = "#2f74d0", "#1d7f55", "#b23a48"
# Matplotlib's names of the markers of `bench.report.chart.style`.
MARKERS = {
    "circle": "o",
    "square": "s",
    "triangle-up": "^",
    "triangle-down": "v",
    "diamond": "D",
    "cross": "P",
    "triangle-left": "<",
    "triangle-right": ">",
}
_SETTINGS: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 7,
    "axes.titlesize": 7.5,
    "axes.titleweight": "bold",
    "axes.edgecolor": PALE,
    "axes.labelcolor": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.6,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "xtick.major.width": 0.6,
    "ytick.major.width": 0.6,
    "grid.color": GRID,
    "grid.linewidth": 0.5,
    "legend.frameon": False,
    "lines.linewidth": 1.3,
    "figure.constrained_layout.use": True,
    "svg.fonttype": "path",
    # Without it the names inside an SVG are random.
    "svg.hashsalt": "framework-bench",
    # "$" in a name does not start a formula.
    "text.parse_math": False,
    "pdf.fonttype": 42,
}
# Without a date.
_METADATA: dict[str, dict[str, str | None]] = {
    "svg": {"Date": None, "Creator": None},
    "pdf": {"CreationDate": None, "Creator": None, "Producer": None},
}


def figure(*, height: float = HEIGHT, width: float = WIDTH) -> Figure:
    """An empty figure of a slide's size, in inches; `drawn` draws it."""
    return Figure(figsize=(width, height))


def file_of(picture: Picture, kind: str) -> bytes:
    """The picture as "svg" or "pdf"."""
    with _style():
        content = io.BytesIO()
        picture.draw().savefig(content, format=kind, metadata=_METADATA[kind])
        return content.getvalue()


@contextmanager
def _style() -> Iterator[None]:
    with mpl.rc_context():
        mpl.rcdefaults()  # the user's own settings would change the bytes
        mpl.rcParams.update(_SETTINGS)
        yield


def text_of(name: str) -> str:
    """A name from the records as a label: invisible characters are made visible."""
    return visible(name)


def bare(axes: Axes) -> None:
    """Remove all lines, ticks and numbers around a picture."""
    axes.set_xticks([])
    axes.set_yticks([])
    for spine in axes.spines.values():
        spine.set_visible(False)
