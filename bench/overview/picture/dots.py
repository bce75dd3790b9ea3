"""Pictures with a row per backend or workload: accuracy, speed and start-up."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from matplotlib.figure import Figure

from bench.overview.picture.curves import accuracy_axis
from bench.overview.picture.style import INK, MARKERS, PALE, figure, text_of
from bench.report.chart.results import PHASES
from bench.report.chart.style import looks_of

_ROW = 0.2  # inches
_FLOOR = 0.01  # percent of wrong images: the axis has no 0
_TICKS = (0.1, 0.2, 0.5, 1, 1.5, 2, 3, 5, 10, 20, 50, 100, 200, 500)


class Accuracy(NamedTuple):
    """The accuracy of a backend on a workload with its interval, all in 0..1."""

    backend: str
    value: float
    low: float
    high: float


class Speed(NamedTuple):
    """A backend's time relative to the fastest.

    Attributes:
        backend: the name of the backend.
        ratio: the time divided by the fastest backend's.
        low, high: the 99 % interval of the ratio; None without one.
        text: the ratio as in the tables: with "~" if its difference from 1 is undecided.
    """

    backend: str
    ratio: float
    low: float | None
    high: float | None
    text: str


def accuracies(
    workloads: Mapping[str, Sequence[Accuracy]], published: Mapping[str, float]
) -> Figure:
    """A row per workload, with a marker per backend.

    Args:
        workloads: name -> accuracies.
        published: name -> the published accuracy, if there is one.
    """
    drawn = figure()
    axes = drawn.subplots()
    backends = list(dict.fromkeys(a.backend for group in workloads.values() for a in group))
    looks = looks_of(backends)
    wrong = []
    for row, (name, group) in enumerate(workloads.items()):
        if name in published:
            wrong.append(max(100 * (1 - published[name]), _FLOOR))
            axes.plot(wrong[-1:], [row], "|", ms=11, color=INK, mew=1, zorder=1)
        for accuracy in group:
            colour, marker = looks[accuracy.backend]
            place = row + 0.5 * (backends.index(accuracy.backend) + 0.5) / len(backends) - 0.25
            ends = [max(100 * (1 - end), _FLOOR) for end in (accuracy.high, accuracy.low)]
            axes.plot(ends, [place] * 2, color=colour, lw=0.7)
            style: dict[str, Any] = {
                "marker": MARKERS[marker],
                "color": colour,
                "ms": 3.5,
                "mew": 0,
            }
            wrong.append(max(100 * (1 - accuracy.value), _FLOOR))
            axes.plot(wrong[-1:], [place], ls="", **style)
    for backend in backends:
        colour, marker = looks[backend]
        axes.plot([], [], ls="", marker=MARKERS[marker], color=colour, label=text_of(backend))
    if published:
        axes.plot([], [], "|", ms=9, color=INK, label="published")
    axes.set_yticks(range(len(workloads)), [text_of(name) for name in workloads])
    axes.invert_yaxis()
    accuracy_axis(axes, wrong)
    axes.legend(loc="center left", bbox_to_anchor=(1.0, 0.5), markerscale=1.2)
    return drawn


def speeds(
    workloads: Mapping[str, Sequence[Speed]], unit: str = "epoch time, fastest = 1"
) -> Figure:
    """A panel per workload, a row per backend, with a line at 1.

    Args:
        workloads: title -> the backends' ratios. All panels have the rows of the first panel.
        unit: the meaning of the ratios.
    """
    backends = list(dict.fromkeys(s.backend for group in workloads.values() for s in group))
    looks = looks_of(backends)
    drawn = figure(height=max(1.2, _ROW * len(backends) + 0.65))
    panels = drawn.subplots(1, len(workloads), sharey=True, squeeze=False)[0]
    for axes, (title, group) in zip(panels, workloads.items(), strict=True):
        most = max(max(speed.ratio, speed.high or 0) for speed in group)
        least = min(1.0, *(min(speed.ratio, speed.low or 1) for speed in group))
        axes.axvline(1, color=PALE, lw=0.6, zorder=0)
        for speed in group:
            colour, marker = looks[speed.backend]
            row = backends.index(speed.backend)
            if speed.low is not None and speed.high is not None:
                axes.plot([speed.low, speed.high], [row, row], color=colour)
            axes.plot([speed.ratio], [row], marker=MARKERS[marker], color=colour, ms=5, mew=0)
            axes.annotate(speed.text, (1.02, row), xycoords=("axes fraction", "data"), va="center")
        axes.set_xscale("log")
        axes.set_xlim(0.85 * least, max(most * 1.2, 1.3))
        ticks = [tick for tick in _TICKS if 0.85 * least <= tick <= max(most * 1.2, 1.3)]
        ticks = ticks if len(ticks) <= 5 else ticks[::2]  # noqa: PLR2004 - numbers would overlap
        axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.set_title(text_of(title), loc="left")
        axes.grid(visible=True, axis="x")
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
        axes.set_xlabel(unit)
    panels[0].set_yticks(range(len(backends)), [text_of(name) for name in backends])
    panels[0].set_ylim(len(backends) - 0.4, -0.6)
    return drawn


def start_up(backends: Mapping[str, Mapping[str, float]]) -> Figure:
    """A bar per backend: seconds before the first epoch, and of compiling.

    Args:
        backends: name -> phase -> seconds; the phases are import, build, load, compile and warm-up.
    """
    drawn = figure(height=max(1.2, _ROW * len(backends) + 0.75))
    axes = drawn.subplots()
    left = [0.0] * len(backends)
    for phase, (_, colour) in PHASES.items():
        seconds = [max(parts.get(phase, 0.0), 0.0) for parts in backends.values()]
        axes.barh(range(len(backends)), seconds, left=left, color=colour, label=phase, height=0.62)
        left = [start + length for start, length in zip(left, seconds, strict=True)]
    for row, total in enumerate(left):
        axes.annotate(
            f"{total:.3g} s", (total, row), xytext=(3, 0), textcoords="offset points", va="center"
        )
    axes.set_yticks(range(len(backends)), [text_of(name) for name in backends])
    axes.invert_yaxis()
    axes.tick_params(axis="y", length=0)
    axes.margins(x=0.1)
    axes.set_xlabel("seconds before an epoch takes its usual time")
    drawn.legend(loc="outside upper right", ncols=len(PHASES))
    return drawn
