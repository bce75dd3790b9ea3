"""Slides on who is faster, and where the time goes."""

from __future__ import annotations

from collections import defaultdict
from functools import partial
from math import isfinite

from bench.overview.material import Material
from bench.overview.picture import dots
from bench.overview.results import Results
from bench.overview.slides import Missing, Picture, Slide
from bench.report.chart.results import ratio_text
from bench.report.form import words
from bench.report.frame.places import rows_of
from bench.report.section.ratios import certain

_PANELS = 3
_PHASES = {
    "import": "import_seconds",
    "build": "build_seconds",
    "load": "load_seconds",
    "compile and warm-up": "warm_up_seconds",
}


def slides(material: Material) -> list[Slide | Missing]:
    """Speed, start-up, and CPU against GPU."""
    results = material.results
    chosen = _chosen(results)
    return [_speed(results, chosen), _start_up(results, chosen), _devices(results)]


def _chosen(results: Results) -> list[str]:
    """The smallest, a middle and the largest workload in which backends were compared."""
    compared = [name for name in results.workloads if results.order(name) is not None]
    by_size = sorted(compared, key=lambda name: (results.size(name), name))
    if len(by_size) <= _PANELS:
        return by_size
    return [by_size[0], by_size[len(by_size) // 2], by_size[-1]]


def _speed(results: Results, chosen: list[str]) -> Slide | Missing:
    if not chosen:
        return Missing("speed", "fewer than two backends have a time for the same workload")
    return Slide(
        key="speed",
        title=_claim(results, chosen),
        parts=(
            Picture(
                "speed",
                "Epoch time of each backend relative to the fastest, with intervals of 99 %",
                partial(dots.speeds, {name: _speeds(results, name) for name in chosen}),
            ),
        ),
        text="Line: interval of 99 %. ~: not told apart from the fastest.",
        notes=(
            certain(results.run),
            *(
                f"{name}, fastest first: {', '.join(order.names)}. Not told apart: "
                + ("; ".join(f"{p.backend} and {p.other}" for p in order.tied) or "none")
                + "."
                for name in chosen
                if (order := results.order(name))
            ),
        ),
    )


def _claim(results: Results, chosen: list[str]) -> str:
    """Who is the fastest on which workload; only what has a verdict."""
    won: dict[str, list[str]] = defaultdict(list)
    for name in chosen:
        order = results.order(name)
        if order is not None and len(order.first) == 1:
            won[order.first[0]].append(name)
    if not won:
        return "Who is faster? No backend is the fastest for sure"
    if len(won) == 1 and sum(map(len, won.values())) == len(chosen) > 1:
        return f"{next(iter(won))} is the fastest on all {len(chosen)} workloads"
    claims = [f"{backend} on {' and '.join(names)}" for backend, names in won.items()]
    return (
        f"Who is faster? It depends: {', '.join(claims)}"
        if len(won) > 1
        else (f"Fastest for sure: {claims[0]}")
    )


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
    rows = results.rows(name) if name else []
    bars = {
        row["backend"]: {
            phase: row[column] for phase, column in _PHASES.items() if isfinite(row[column])
        }
        for row in rows
    }
    bars = {backend: phases for backend, phases in bars.items() if phases}
    if not bars:
        return Missing("start-up", "no start-up was measured")
    totals = {
        backend: sum(max(seconds, 0.0) for seconds in phases.values())
        for backend, phases in bars.items()
    }
    ordered = dict(sorted(bars.items(), key=lambda item: totals[item[0]]))
    title = f"{name}: {words.span(min(totals.values()), max(totals.values()))} before full speed"
    return Slide(
        key="start-up",
        title=title,
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
                "Compile and warm-up: what the first epochs take longer than later ones. Each phase"
                " is a mean over jobs; there is no test of differences."
            ),
        ),
    )


def _devices(results: Results) -> Slide | Missing:
    """CPU against GPU, if the run has both on one machine."""
    jobs = results.run.jobs
    ok = jobs[(jobs["status"] == "ok") & (jobs["mode"] == "matched")]
    kinds = {str(device).partition(":")[0] for device in ok["device"].unique()}
    if not {"cpu", "cuda"} <= kinds:
        return Missing(
            "devices", "no results of both a CPU and a GPU", "bench run quick --device cpu,cuda"
        )
    keys = ["workload", "backend", "machine", "device"]
    medians = ok.groupby(keys, observed=True)["epoch_seconds"].median().reset_index()
    times = {tuple(str(row[key]) for key in keys): row["epoch_seconds"] for row in rows_of(medians)}
    ratios: dict[str, list[dots.Speed]] = defaultdict(list)
    for (workload, backend, machine, device), seconds in times.items():
        cpu = times.get((workload, backend, machine, "cpu"))
        if device.startswith("cuda") and cpu is not None:
            ratio = float(cpu / seconds)
            ratios[workload].append(dots.Speed(backend, ratio, None, None, words.ratio(ratio)))
    if not ratios:
        return Missing("devices", "no workload ran on both a CPU and a GPU of one machine")
    return Slide(
        key="devices",
        title="CPU and GPU: the time of an epoch on the CPU, divided by that on the GPU",
        parts=(
            Picture(
                "devices",
                "Ratio of CPU to GPU by backend",
                partial(dots.speeds, dict(list(ratios.items())[:_PANELS])),
            ),
        ),
        notes=("Medians over jobs; the ratio has no interval.",),
    )
