"""Slides on which backend is faster, and where the time goes."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from math import isfinite

from bench.overview.material import Material
from bench.overview.picture import dots
from bench.overview.results import Results
from bench.overview.slides import Missing, Picture, Slide
from bench.overview.topic.accuracy import run_hint
from bench.report.chart.results import PHASES, ratio_text
from bench.report.form import words
from bench.report.frame.columns import GROUP
from bench.report.frame.places import Row, rows_of
from bench.report.section.ratios import certain

_PANELS = 3
_OF_DEVICE = ("device", "device_name", "threads")


def slides(material: Material) -> list[Slide | Missing]:
    """Speed, start-up, and CPU against GPU."""
    results = material.results
    compared = [name for name in results.workloads if results.order(name) is not None]
    chosen = _chosen(results, compared)
    return [_speed(results, chosen, compared), _start_up(results, chosen), _devices(results)]


def _chosen(results: Results, compared: list[str]) -> list[str]:
    """The smallest, a middle and the largest workload in which backends were compared."""
    by_size = sorted(compared, key=results.size)  # equal sizes stay in the order of a course
    if len(by_size) <= _PANELS:
        return by_size
    return [by_size[0], by_size[len(by_size) // 2], by_size[-1]]


def _speed(results: Results, chosen: list[str], compared: list[str]) -> Slide | Missing:
    if not chosen:
        return Missing("speed", "fewer than two backends have a time for the same workload")
    more = f" {len(chosen)} of {len(compared)} workloads." if len(compared) > len(chosen) else ""
    return Slide(
        key="speed",
        title=_claim(results, chosen, compared),
        parts=(
            Picture(
                "speed",
                "Epoch time of each backend relative to the fastest, with intervals of 99 %",
                partial(dots.speeds, {name: _speeds(results, name) for name in chosen}),
            ),
        ),
        text=f"Line: interval of 99 %. ~: may be as fast as the fastest.{more}",
        notes=(
            certain(results.run),
            *(
                f"{name}, fastest first: {', '.join(order.names)}. Undecided or equal: "
                + ("; ".join(f"{p.backend} and {p.other}" for p in order.tied) or "none")
                + "."
                for name in compared
                if (order := results.order(name))
            ),
        ),
    )


def _claim(results: Results, chosen: list[str], compared: list[str]) -> str:
    """Which backend is the fastest on which workload; only with a verdict."""
    winners = {
        name: order.first[0]
        for name in compared
        if (order := results.order(name)) is not None and len(order.first) == 1
    }
    if len(winners) == len(compared) > 1 and len({*winners.values()}) == 1:
        return f"{next(iter(winners.values()))} is the fastest on all {len(compared)} workloads"
    won: dict[str, list[str]] = defaultdict(list)
    for name in chosen:
        if name in winners:
            won[winners[name]].append(name)
    if not won:
        return "Who is faster? No backend is clearly the fastest"
    claims = [f"{backend} on {words.listed(names)}" for backend, names in won.items()]
    if len(won) == 1:
        return f"Fastest: {claims[0]}"
    return f"Who is faster? It depends: {', '.join(claims)}"


def _speeds(results: Results, name: str) -> list[dots.Speed]:
    intervals = {}
    for pair in results.pairs(name):
        low, high = pair.comparison.sure_low, pair.comparison.sure_high
        intervals[pair.backend, pair.other] = low, high
        opposite = (1 / high if high else None, 1 / low if low else None)
        intervals[pair.other, pair.backend] = opposite
    rows = [row for row in results.rows(name) if isfinite(row["times_fastest"])]
    best = next((row["backend"] for row in rows if row["times_fastest"] == 1), "")
    return [
        dots.Speed(
            row["backend"],
            row["times_fastest"],
            *intervals.get((row["backend"], best), (None, None)),
            ratio_text(row),
        )
        for row in sorted(rows, key=lambda row: row["times_fastest"])
    ]


def _start_up(results: Results, chosen: list[str]) -> Slide | Missing:
    name = chosen[-1] if chosen else next(iter(results.workloads), None)
    bars = {row["backend"]: _phases(row) for row in results.rows(name or "")}
    bars = {backend: phases for backend, phases in bars.items() if phases}
    if not bars:
        return Missing("start-up", "no start-up was measured")
    totals = {backend: sum(phases.values()) for backend, phases in bars.items()}
    ordered = dict(sorted(bars.items(), key=lambda item: totals[item[0]]))
    compiling = [*PHASES][-1]
    is_whole = all(compiling in phases for phases in bars.values())
    until = "before an epoch takes its usual time" if is_whole else "before the first epoch"
    if not is_whole:  # bars with and without compiling cannot be compared
        ordered = {
            backend: {phase: s for phase, s in phases.items() if phase != compiling}
            for backend, phases in ordered.items()
        }
        totals = {backend: sum(phases.values()) for backend, phases in ordered.items()}
    return Slide(
        key="start-up",
        title=f"{name}: {words.span(min(totals.values()), max(totals.values()))} {until}",
        parts=(
            Picture(
                "start-up",
                "Seconds of import, building, loading, and compiling by backend",
                partial(dots.start_up, ordered),
            ),
        ),
        text="Short trainings are mostly start-up; long ones are epochs.",
        notes=(
            (
                "Compile and warm-up: what the first epochs take longer than later ones; unknown"
                " with one epoch. Each phase is a mean over jobs; there is no test of differences."
            ),
        ),
    )


def _phases(row: Row) -> dict[str, float]:
    """The seconds of each phase of the start-up, if they were measured."""
    measured = {name: row[column] for name, (column, _) in PHASES.items() if isfinite(row[column])}
    return {name: max(seconds, 0.0) for name, seconds in measured.items()}


def _devices(results: Results) -> Slide | Missing:
    """CPU against GPU, if the same training ran on both in one machine."""
    summary = results.whole.summary
    ok = rows_of(summary[(summary["status"] == "ok") & (summary["mode"] == "matched")])
    same = [*(column for column in GROUP if column not in _OF_DEVICE), "backend"]
    on_cpu = {tuple(row[c] for c in same): row for row in ok if row["device"] == "cpu"}
    ratios: dict[str, list[dots.Speed]] = defaultdict(list)
    for row in ok:
        cpu = on_cpu.get(tuple(row[c] for c in same))
        if row["device"].startswith("cuda") and cpu is not None:
            ratio = cpu["epoch_seconds"] / row["epoch_seconds"]
            if isfinite(ratio) and ratio > 0:
                title = f"{row['label']}, {row['device_name']}"
                ratios[title].append(
                    dots.Speed(row["backend"], ratio, None, None, words.ratio(ratio))
                )
    if not ratios:
        reason = "no training ran on both a CPU and a GPU of one machine"
        return Missing("devices", reason, run_hint(results, "quick --device cpu,cuda"))
    shown = dict(list(ratios.items())[:_PANELS])
    return Slide(
        key="devices",
        title="CPU and GPU: how many times as long an epoch takes on the CPU",
        parts=(
            Picture(
                "devices",
                "The epoch time on the CPU divided by that on the GPU",
                partial(dots.speeds, shown, "time on the CPU / time on the GPU"),
            ),
        ),
        notes=("Medians over jobs; the ratios have no interval.",),
    )
