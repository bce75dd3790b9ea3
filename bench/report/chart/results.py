"""Charts with a row per backend: speed, accuracy, memory and start-up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import isfinite, nan
from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from bench.report.chart.style import (
    INK,
    MOST_ROWS,
    PALE,
    Row,
    colour,
    column_of_figures,
    layers,
    log_axis,
    marker,
    names_axis,
    panel,
    shown,
    unit_axis,
)
from bench.report.form import words
from bench.report.form.blocks import Chart
from bench.report.frame.columns import GROUP
from bench.report.frame.pairs import Pair, timed
from bench.report.frame.places import rows_of
from bench.report.run import Run
from bench.statistics.accuracy import binomial_error, interval
from bench.statistics.turns import log_ratios_of

# A run of many machines has more panels; its table has all results.
_MOST_PANELS = 36
# Column that may distinguish rows of one backend -> its text.
_PLACE: dict[str, Callable[[Any], str]] = {
    "dataset": str,
    "device": str,
    "threads": words.threads,
    "machine": str,
    "device_name": str,
    "precision": str,
}
_TWO_SIDED = 1.96  # standard errors of 95 %
_MOST_TICKS = 40
_SPEED = (
    "Time of a training epoch, relative to the fastest backend. Point: median over turns, then"
    " over rounds. Line: 99 % interval, including the difference between two processes of one"
    " backend. Small lines: single turns. ~: may be as fast as the fastest. CPU times are medians,"
    " divided by the CPU time of the fastest backend."
)
_ACCURACY = (
    "Test accuracy after the last epoch, mean over jobs. Line: 95 % interval over seeds; with one"
    " seed, for the number of test images. Dashed: published accuracy of the same training."
)
_MEMORY = (
    "Peak memory of the process while training. Small lines: its peak after importing the framework"
    " and after loading the data."
)
_START = "Seconds before the first epoch, and the extra time of the first epochs, mostly compiling."
# A phase of the start-up -> its column in the summary, and its colour.
PHASES = {
    "import": ("import_seconds", "#5b6675"),
    "build": ("build_seconds", "#9aa3af"),
    "load": ("load_seconds", "#c2a33a"),
    "compile and warm-up": ("warm_up_seconds", "#b23a7e"),
}


def speed(run: Run) -> Chart | None:
    """The epoch time of each backend divided by the fastest backend's; None without any."""
    pairs = {(p.group, frozenset((p.backend, p.other))): p for p in run.pairs}
    ticks = _ticks(run)

    def rows(row: Row, best: Row) -> Iterator[Row]:
        wall, cpu = row["epoch_seconds"], row["epoch_cpu_seconds"]
        if row["status"] != "ok" or not isfinite(row["times_fastest"]):
            why = row["status"] if row["status"] != "ok" else "no time"
            for clock, form in _VIEWS:
                yield {"clock": clock, "form": form, "text": f"left out: {why}"}
            return
        low, high = _sure(pairs, row, best)
        ratio, fastest, rounds = row["times_fastest"], best["epoch_cpu_seconds"], row["rounds"]
        of_cpu = cpu / fastest if fastest else nan  # a coarse clock may show 0
        yield _view(_VIEWS[0], ratio, ratio_text(row), low=low, high=high, rounds=rounds)
        yield _view(_VIEWS[1], wall, words.seconds(wall), rounds=rounds)
        yield _view(_VIEWS[2], of_cpu, words.ratio(of_cpu), rounds=rounds)
        yield _view(_VIEWS[3], cpu, words.seconds(cpu), rounds=rounds)
        for value in ticks.get(tuple(row[name] for name in [*GROUP, "backend"]), ()):
            yield {"clock": "wall", "form": "relative", "tick": value}

    return _chart("speed", _SPEED, run, rows, _speed_marks)


def ratio_text(row: Row) -> str:
    """The ratio to the fastest backend as in the tables."""
    return words.ratio(row["times_fastest"], provisional=row["unsure"] is True)


def accuracy(run: Run) -> Chart | None:
    """The test accuracy of each backend with its interval, and the published one."""
    ok = run.jobs[run.jobs["status"] == "ok"]
    by_seed = ok.groupby([*GROUP, "backend", "seed"], sort=False)["test_accuracy"]
    means = by_seed.mean().groupby(level=[*GROUP, "backend"], sort=False).agg(tuple)

    def rows(row: Row, _: Row) -> Iterator[Row]:
        value = row["test_accuracy"]
        if row["status"] != "ok" or not isfinite(value):
            yield {"text": "-" if row["status"] == "ok" else f"left out: {row['status']}"}
            return
        seeds = means[tuple(row[name] for name in [*GROUP, "backend"])]
        low, high = accuracy_interval(seeds, row["test_examples"])
        yield {
            "value": 100 * value,
            "low": 100 * low,
            "high": 100 * high,
            "published": _percent(row["course_accuracy"]),
            "text": words.percent(value),
        }

    return _chart("accuracy", _ACCURACY, run, rows, _accuracy_marks)


def accuracy_interval(seeds: tuple[float, ...], images: int) -> tuple[float, float]:
    """The 95 % interval of an accuracy: over seeds, or for one seed from the number of images."""
    over_seeds = interval(seeds, images)
    if over_seeds is None:
        error = _TWO_SIDED * binomial_error(seeds[0], images)
        over_seeds = (seeds[0] - error, seeds[0] + error)
    return max(over_seeds[0], 0.0), min(over_seeds[1], 1.0)


def memory(run: Run) -> Chart | None:
    """The peak memory of each backend while training, after loading and after importing."""
    keys = [*GROUP, "backend"]
    imported = run.jobs.groupby(keys, sort=False)["import_peak_rss_bytes"].max()

    def rows(row: Row, _: Row) -> Iterator[Row]:
        peak = row["train_peak_rss_bytes"]
        if row["status"] != "ok" or not isfinite(peak):
            return
        yield {"value": peak / 1e6, "text": words.gigabytes(peak)}
        for part in (imported[tuple(row[name] for name in keys)], row["load_peak_rss_bytes"]):
            if isfinite(part):
                yield {"tick": part / 1e6}

    return _chart("memory", _MEMORY, run, rows, _memory_marks)


def start_up(run: Run) -> Chart | None:
    """The seconds before the first epoch by phase, and of compiling."""

    def rows(row: Row, _: Row) -> Iterator[Row]:
        parts = {name: max(row[column], 0.0) for name, (column, _) in PHASES.items()}
        measured = {name: seconds for name, seconds in parts.items() if isfinite(seconds)}
        if row["status"] != "ok" or not measured:
            return
        yield {"text": words.seconds(sum(measured.values()))}
        for order, (name, seconds) in enumerate(measured.items()):
            yield {"phase": name, "order": order, "value": seconds}

    return _chart("start-up", _START, run, rows, _start_marks)


_VIEWS = [(clock, form) for clock in ("wall", "cpu") for form in ("relative", "absolute")]
_Rows = Callable[[Row, Row], Iterator[Row]]


def _view(view: tuple[str, str], value: float, text: str, **others: Any) -> Row:
    """A row of the speed chart; `view` is its clock and its form."""
    present = {name: field for name, field in others.items() if field is not None}
    return {"clock": view[0], "form": view[1], "value": value, "text": text, **present}


def _sure(pairs: dict[Any, Pair], row: Row, best: Row) -> tuple[float | None, float | None]:
    """The interval of a row's ratio to the fastest; None, None if there is none."""
    pair = pairs.get(
        (tuple(row[name] for name in GROUP), frozenset((row["backend"], best["backend"])))
    )
    if pair is None or pair.comparison.sure_low is None or pair.comparison.sure_high is None:
        return None, None
    low, high = pair.comparison.sure_low, pair.comparison.sure_high
    return (low, high) if pair.backend == row["backend"] else (1 / high, 1 / low)


def _ticks(run: Run) -> dict[Any, list[float]]:
    """Group and backend -> the single ratios to the fastest, of turns, else of rounds."""
    best = {
        tuple(row[name] for name in GROUP): row["backend"]
        for row in rows_of(run.ok)
        if row["times_fastest"] == 1
    }
    ticks = {}
    for group, jobs in run.jobs[run.jobs["status"] == "ok"].groupby(GROUP, sort=False):
        times = timed(jobs)
        first = times.get(str(best.get(group)), {})
        for name, of_backend in times.items():
            ratios = [ratio for of_round in log_ratios_of(of_backend, first) for ratio in of_round]
            if name != best.get(group) and len(ratios) > 1:
                ordered = np.exp(sorted(ratios))
                few = np.linspace(0, len(ordered) - 1, min(len(ordered), _MOST_TICKS))
                ticks[*group, name] = ordered[few.round().astype(int)].tolist()
    return ticks


def facets(frame: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """The title and the rows of each panel; a panel is a group of comparable rows.

    The title names the properties that differ between groups. At most `_MOST_PANELS` are returned.
    """
    several = [column for column in _PLACE if frame[column].nunique() > 1]
    panels = []
    for _, rows in frame.groupby(GROUP, sort=False, observed=True):
        place = [_PLACE[column](rows[column].iloc[0]) for column in several]
        title = ", ".join([str(rows["label"].iloc[0]), *place])
        panels.append((title, rows))
    return panels[:_MOST_PANELS]


def caption_of(text: str, frame: pd.DataFrame) -> str:
    """A chart's caption; it says if some panels are not drawn."""
    count = frame.groupby(GROUP, sort=False, observed=True).ngroups
    more = f" The first {_MOST_PANELS} of {count} panels are drawn." if count > _MOST_PANELS else ""
    return text + more


def _chart(
    name: str, caption: str, run: Run, rows: _Rows, marks: Callable[[list[Row], list[str]], Any]
) -> Chart | None:
    """A chart with a panel per group; the fastest backends are at the top of each."""
    panels = []
    for title, facet in facets(run.summary):
        ordered = rows_of(facet.sort_values(["times_fastest", "epoch_seconds"]))
        best = next((row for row in ordered if row["times_fastest"] == 1), ordered[0])
        data = [
            {"backend": row["backend"], **values}
            for row in ordered[:MOST_ROWS]
            for values in rows(row, best)
        ]
        if any("value" in row for row in data):
            names = list(dict.fromkeys(row["backend"] for row in data))
            hidden = len(ordered) - MOST_ROWS
            more = f"; the {MOST_ROWS} fastest of {len(ordered)}" if hidden > 0 else ""
            panels.append(panel(title + more, marks(data, names), data, rows=len(names)))
    return Chart(name, caption_of(caption, run.summary), tuple(panels)) if panels else None


def _percent(share: float) -> float | None:
    return 100 * share if isfinite(share) else None


def _speed_marks(data: list[Row], names: list[str]) -> alt.LayerChart:
    rows = (
        _shown(names)
        .transform_filter("datum.clock === clock")
        .transform_filter("datum.form === form")
    )
    scale = alt.Scale(type="log", padding=8, nice=False)
    values = [row["value"] for row in data if row.get("form") == "relative" and "value" in row]
    x = alt.X("value:Q", title=None, scale=scale, axis=log_axis(values))
    tooltip = ["backend:N", "text:N", "low:Q", "high:Q", "rounds:Q"]
    return layers(
        rows.transform_filter("isValid(datum.tick)")
        .mark_tick(color=PALE, opacity=0.6, size=10)
        .encode(x=alt.X("tick:Q", title=None, scale=scale)),
        *_points(rows, data, x, scale, tooltip),
        params={"clock": "wall", "form": "relative"},
    )


def _accuracy_marks(data: list[Row], names: list[str]) -> alt.LayerChart:
    rows = _shown(names)
    scale = alt.Scale(zero=False, padding=8, nice=False)
    x = alt.X("value:Q", title=None, scale=scale, axis=unit_axis("%"))
    tooltip = ["backend:N", "text:N", "low:Q", "high:Q", "published:Q"]
    return layers(
        rows.transform_filter("isValid(datum.published)")
        .mark_tick(color=INK, strokeDash=[2, 2], size=22, thickness=1)
        .encode(x=alt.X("published:Q", title=None, scale=scale)),
        *_points(rows, data, x, scale, tooltip),
    )


def _points(
    rows: alt.Chart, data: list[Row], x: alt.X, scale: alt.Scale, tooltip: list[str]
) -> list[alt.Chart]:
    """Each backend's interval, its value, and the column of figures."""
    backends = [row["backend"] for row in data]
    low = alt.X("low:Q", title=None, scale=scale)
    return [
        rows.transform_filter("isValid(datum.low)")
        .mark_rule(strokeWidth=2)
        .encode(x=low, x2="high:Q", color=colour(backends)),
        rows.transform_filter("isValid(datum.value)")
        .mark_point(filled=True, size=75, opacity=1)
        .encode(x=x, color=colour(backends), shape=marker(backends), tooltip=tooltip),
        column_of_figures(rows.transform_filter("isValid(datum.text)")),
    ]


def _memory_marks(data: list[Row], names: list[str]) -> alt.LayerChart:
    rows, backends = _shown(names), [row["backend"] for row in data]
    axis = unit_axis("MB")
    return layers(
        rows.transform_filter("isValid(datum.value)")
        .mark_bar(height=12)
        .encode(
            x=alt.X("value:Q", title=None, axis=axis),
            color=colour(backends),
            tooltip=["backend:N", "text:N"],
        ),
        rows.transform_filter("isValid(datum.tick)")
        .mark_tick(color=INK, size=16, thickness=1.5)
        .encode(x="tick:Q"),
        column_of_figures(rows.transform_filter("isValid(datum.text)")),
    )


def _start_marks(_: list[Row], names: list[str]) -> alt.LayerChart:
    rows = _shown(names)
    colours = alt.Scale(domain=list(PHASES), range=[shade for _, shade in PHASES.values()])
    legend = alt.Legend(title=None, orient="bottom", columns=2)
    axis = unit_axis("s")
    return layers(
        rows.transform_filter("isValid(datum.value)")
        .mark_bar(height=12)
        .encode(
            x=alt.X("value:Q", title=None, axis=axis),
            color=alt.Color("phase:N", scale=colours, legend=legend),
            order="order:O",
            tooltip=["backend:N", "phase:N", alt.Tooltip("value:Q", format=".3~g")],
        ),
        column_of_figures(rows.transform_filter("isValid(datum.text)")),
    )


def _shown(names: list[str]) -> alt.Chart:
    """The rows of the backends that the reader has not hidden, in this order of names."""
    return shown().encode(y=names_axis(names))
