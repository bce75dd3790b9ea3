"""Pictures with lines: learning curves, activation functions, accuracies of models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import ceil, floor, isfinite, log10
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from bench.overview.picture.style import ACCENT, BAD, GOOD, INK, PALE, figure, text_of

_LINES = (ACCENT, BAD, GOOD, "#6a5acd", "#c97a10")
_SHADE = 0.18
_NEAR = 3.0


class Gap(NamedTuple):
    """The curves of one model: its title, and a row per epoch (index: the epoch)."""

    title: str
    epochs: pd.DataFrame


def gaps(models: Sequence[Gap]) -> Figure:
    """Accuracy on both sets by epoch, a panel per model; the gap between them is shaded.

    Args:
        models: their frames have `train_accuracy` and `test_accuracy`, in 0..1.
    """
    drawn = figure()
    panels = drawn.subplots(1, len(models), sharey=True, squeeze=False)[0]
    for axes, model in zip(panels, models, strict=True):
        epochs = model.epochs.index.to_numpy()
        train = 100 * model.epochs["train_accuracy"].to_numpy()
        test = 100 * model.epochs["test_accuracy"].to_numpy()
        axes.plot(epochs, train, "--", color=INK, label="training images")
        axes.plot(epochs, test, color=ACCENT, label="test images")
        axes.fill_between(epochs, test, train, where=train >= test, color=BAD, alpha=_SHADE, lw=0)
        axes.set_title(text_of(model.title), loc="left")
        _whole_epochs(axes)
    panels[0].set_ylabel("accuracy, %")
    lowest = min(100 * float(np.quantile(model.epochs["test_accuracy"], 0.1)) for model in models)
    panels[0].set_ylim(bottom=lowest - 0.5)
    panels[-1].legend(loc="lower right")
    return drawn


def curves(lines: Mapping[str, pd.Series], unit: str) -> Figure:
    """A line per name, by epoch.

    Args:
        lines: name -> values by epoch; at most five names.
        unit: the title of the axis of values.
    """
    drawn = figure()
    axes = drawn.subplots()
    for (name, values), colour in zip(lines.items(), _LINES, strict=False):
        axes.plot(values.index, values, marker=".", color=colour, label=text_of(name))
    axes.set_ylabel(unit)
    _whole_epochs(axes)
    axes.legend(loc="best")
    return drawn


def descent(runs: Mapping[str, tuple[Sequence[float], Sequence[float]]], unit: str) -> Figure:
    """Test losses of batch sizes, by the number of epochs and by the number of updates.

    Args:
        runs: name -> (the loss after every epoch, the number of updates until then).
        unit: the title of the axis of losses.
    """
    drawn = figure()
    by_epoch, by_update = drawn.subplots(1, 2, sharey=True)
    for (name, (losses, updates)), colour in zip(runs.items(), _LINES, strict=False):
        by_epoch.plot(range(1, len(losses) + 1), losses, marker=".", color=colour, label=name)
        by_update.plot(updates, losses, marker=".", color=colour)
    by_epoch.set_ylabel(unit)
    by_epoch.set_yscale("log")
    losses = [loss for values, _ in runs.values() for loss in values]
    _log_ticks(by_epoch.yaxis, min(losses), max(losses), (1, 2, 3, 5))
    _whole_epochs(by_epoch)
    by_update.set_xscale("log")
    counts = [count for _, values in runs.values() for count in values]
    _log_ticks(by_update.xaxis, min(counts), max(counts), (1,))
    by_update.set_xlabel("updates of the weights")
    by_epoch.legend(loc="best")
    return drawn


def activations() -> Figure:
    """Sigmoid, tanh and ReLU, and their derivatives."""
    x = np.linspace(-4, 4, 401)
    sigmoid = 1 / (1 + np.exp(-x))
    functions = {
        "sigmoid": (sigmoid, sigmoid * (1 - sigmoid)),
        "tanh": (np.tanh(x), 1 - np.tanh(x) ** 2),
        "ReLU": (np.maximum(x, 0), (x > 0).astype(float)),
    }
    drawn = figure(height=1.9)
    for axes, (name, (values, slope)) in zip(drawn.subplots(1, 3), functions.items(), strict=True):
        axes.axhline(0, color=PALE, lw=0.5)
        axes.axvline(0, color=PALE, lw=0.5)
        axes.plot(x, values, color=ACCENT, label="value")
        axes.plot(x, slope, "--", color=BAD, label="derivative")
        axes.set_title(name, loc="left")
        axes.set_ylim(-1.2, 2.2)
    drawn.axes[0].legend(loc="upper left")
    return drawn


def ladder(models: Sequence[tuple[str, float, float, int]]) -> Figure:
    """The accuracy of models, worst first, with the number of their weights.

    The axis is logarithmic in the share of wrong images: the steps from 92 to 96 % and from 96 to
    98 % have the same length.

    Args:
        models: name, accuracy (0..1), published accuracy (or NaN), number of weights.
    """
    drawn = figure()
    axes = drawn.subplots()
    places = range(len(models))
    wrong = [max(100 * (1 - accuracy), 0.01) for _, accuracy, _, _ in models]
    axes.plot(wrong, places, "o", color=ACCENT, label="measured")
    published = [(100 * (1 - p), y) for y, (_, _, p, _) in enumerate(models) if isfinite(p)]
    if published:
        axes.plot(*zip(*published, strict=True), "|", ms=9, color=INK, label="published")
    names = [f"{text_of(name)}, {count:,} weights" for name, _, _, count in models]
    axes.set_yticks(places, names)
    for y, (_, accuracy, _, _) in enumerate(models):
        axes.annotate(
            f"{100 * accuracy:.2f} %", (wrong[y], y), xytext=(7, 0), textcoords="offset points",
            va="center",
        )  # fmt: skip
    axes.invert_yaxis()
    accuracy_axis(axes, wrong)
    if published:
        axes.legend(loc="upper right")
    return drawn


def accuracy_axis(axes: Axes, wrong: Sequence[float]) -> None:
    """A logarithmic axis of accuracies, better ones to the right.

    Args:
        axes: the axes; their horizontal values are percentages of wrong images.
        wrong: all horizontal values.
    """
    ticks = [50, 40, 30, 20, 15, 10, 8, 6, 5, 4, 3, 2, 1.5, 1, 0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    low, high = max(min(wrong), 0.01) / 1.3, max(*wrong, 0.02) * 1.15
    axes.set_xscale("log")
    axes.set_xlim(high, low / 1.15)
    if high / low < _NEAR:  # less than one step of the ticks above
        ticks = [*MaxNLocator(5, steps=[1, 2, 5, 10]).tick_values(low, high)]
    shown = [tick for tick in ticks if low <= tick <= high]
    step = -(-len(shown) // 7)
    axes.set_xticks(shown[::step], [f"{100 - tick:g}" for tick in shown[::step]])
    axes.set_xticks([], minor=True)
    axes.set_xlabel("correct test images, %")
    axes.grid(visible=True, axis="x")
    axes.set_axisbelow(True)


def _log_ticks(axis: Axis, low: float, high: float, steps: Sequence[int]) -> None:
    """Label a logarithmic axis with plain numbers; Matplotlib's default is formulas."""
    powers = range(floor(log10(low)), ceil(log10(high)) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    shown = [tick for tick in ticks if 0.8 * low <= tick <= 1.25 * high]
    axis.set_ticks(shown, [f"{tick:,.10g}" for tick in shown])
    axis.set_ticks([], minor=True)


def _whole_epochs(axes: Any) -> None:
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(visible=True, axis="y")
