"""Style, colours and saving of all plots."""

from __future__ import annotations

import io
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from numpy.typing import NDArray

from backends.registry import BACKENDS, DEFAULT_BACKENDS
from bench.records.files import write_atomically

# Okabe and Ito's colours, which colour-blind readers can tell apart.
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000", "#F0E442")
# The default backends come first, so that each of them has a colour of its own.
_BACKENDS = tuple(dict.fromkeys((*DEFAULT_BACKENDS, *BACKENDS)))
_RIGHT = 0.35  # inches on the right of all panels: half of the last number on an axis
STYLE: dict[Any, Any] = {
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.titley": 1.0,  # computing the position takes a tenth of the drawing time
    "grid.alpha": 0.3,
    "font.size": 9,
    "svg.hashsalt": "framework-bench",  # the same records give the same file
}


def colours_of(names: Iterable[str]) -> dict[str, str]:
    """A colour per name; a backend has the same one in the plots of all runs.

    The backends of the registry come first, then other names (of backends with their machine).
    """
    wanted = set(names)
    known = [*_BACKENDS, *sorted(wanted.difference(_BACKENDS))]
    return {name: _COLOURS[known.index(name) % len(_COLOURS)] for name in wanted}


def panels(
    rows: int, columns: int, size: tuple[float, float], *, left: float, below: float, above: float
) -> tuple[Figure, NDArray[Any]]:
    """A figure with equal panels, and their axes: (rows, columns).

    All lengths are in inches. To measure the texts instead takes as long as to draw the figure.

    Args:
        rows: of panels.
        columns: of panels.
        size: the width and height of a panel.
        left: the room for texts on the left of each panel.
        below: the room for texts below each panel.
        above: the room above all panels.
    """
    width, height = columns * (left + size[0]) + _RIGHT, rows * (size[1] + below) + above
    figure = Figure(figsize=(width, height))
    room = {
        "left": left / width,
        "right": 1 - _RIGHT / width,
        "wspace": left / size[0],
        "bottom": below / height,
        "top": 1 - above / height,
        "hspace": below / size[1],
    }
    return figure, figure.subplots(rows, columns, squeeze=False, gridspec_kw=room)


def save(figure: Figure, path: Path) -> None:
    """Save a figure as PNG and SVG.

    Each file is written atomically, as several nodes may write one run's report.
    """
    options: dict[str, dict[str, Any]] = {
        "png": {"dpi": 150, "pil_kwargs": {"compress_level": 3}},
        "svg": {"metadata": {"Date": None}},
    }
    for ending, chosen in options.items():
        content = io.BytesIO()
        figure.savefig(content, format=ending, **chosen)
        write_atomically(path.with_suffix(f".{ending}"), content.getvalue())
