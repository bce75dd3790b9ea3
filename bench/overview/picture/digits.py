"""Pictures of images: examples, mistakes, the confusion matrix, weights and filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from bench.overview.picture.style import BAD, HEIGHT, INK, bare, figure

Pixels = NDArray[Any]  # (n, height, width, channels)
COLUMNS = 12  # in a grid that fills a slide
_DARK = 0.5  # the number in a darker cell is white


def grid(
    images: Pixels, titles: Sequence[str], *, columns: int = COLUMNS, colours: Sequence[str] = ()
) -> Figure:
    """Images beside each other, each with a title above it.

    Args:
        images: (n, height, width, channels), one or three channels.
        titles: one title per image.
        columns: the number of columns.
        colours: the colours of the titles, one per image; () for the default colour.
    """
    rows = -(-len(images) // columns)
    drawn = figure(height=min(HEIGHT, 0.62 * rows + 0.05))
    axes = drawn.subplots(rows, columns, squeeze=False).ravel()
    for index, place in enumerate(axes):
        bare(place)
        if index < len(images):
            place.imshow(_shown(images[index]), cmap="gray_r", interpolation="nearest")
            colour = colours[index] if colours else INK
            place.set_title(titles[index], color=colour, fontsize=6.5, pad=2)
    return drawn


def signed_grid(images: Pixels, titles: Sequence[str], *, columns: int) -> Figure:
    """Weights as images, all on one scale: blue is positive, red is negative, white is zero.

    Args:
        images: (n, height, width), any numbers.
        titles: one title per image; () for none.
        columns: the number of columns.
    """
    rows = -(-len(images) // columns)
    drawn = figure(height=min(HEIGHT, 0.9 * rows + 0.1))
    most = float(np.abs(images).max()) or 1.0
    for index, place in enumerate(drawn.subplots(rows, columns, squeeze=False).ravel()):
        bare(place)
        if index < len(images):
            picture = place.imshow(
                images[index], cmap="RdBu", vmin=-most, vmax=most, interpolation="nearest"
            )
            if titles:
                place.set_title(titles[index], fontsize=6.5, pad=2)
    bar = drawn.colorbar(picture, ax=drawn.axes, fraction=0.02, pad=0.01)
    bar.ax.tick_params(labelsize=6)
    return drawn


def confusion(counts: NDArray[np.int64]) -> Figure:
    """The confusion matrix, without the correct predictions, so that mistakes are visible.

    Args:
        counts: (classes, classes), rows are labels and columns are predictions.
    """
    drawn = figure(width=HEIGHT * 1.25)
    axes = drawn.subplots()
    mistakes = counts.copy()
    np.fill_diagonal(mistakes, 0)
    most = max(int(mistakes.max()), 1)
    axes.imshow(mistakes, cmap="Reds", vmin=0, vmax=most)
    for label, row in enumerate(counts):
        for predicted, count in enumerate(row):
            if label == predicted:
                axes.text(predicted, label, f"{count}", ha="center", va="center", fontsize=4.5)
            elif count:
                colour = "white" if count > _DARK * most else BAD
                place: dict[str, Any] = {"ha": "center", "va": "center", "fontsize": 6}
                axes.text(predicted, label, f"{count}", color=colour, **place)
    ticks = range(len(counts))
    axes.set_xticks(ticks, [str(tick) for tick in ticks])
    axes.set_yticks(ticks, [str(tick) for tick in ticks])
    axes.set_xlabel("predicted")
    axes.set_ylabel("label")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    return drawn


def _shown(image: NDArray[Any]) -> NDArray[Any]:
    """An image in Matplotlib's form: (height, width), or (height, width, 3)."""
    return image[..., 0] if image.shape[-1] == 1 else image
