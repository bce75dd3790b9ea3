"""Makes the section on hardware utilization: each training beside the limits of its engine.

The limits are the rates that the engine's matrix product, convolution and memory reached.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import NamedTuple

from bench.records.job import Record
from bench.records.limits import EngineLimits, limits_of
from bench.report.form import words
from bench.report.form.document import Block, Folded, Heading, Items, Plot, Table, Text
from bench.report.frame.columns import GROUP_AND_BACKEND
from bench.report.frame.places import Row, identity, rows_of
from bench.report.plot.roofs import Point, write_roofs
from bench.report.run import Run
from bench.statistics.roofline import (
    BOUND_FROM,
    MOST_CALLS,
    NEITHER_BELOW,
    Utilization,
    utilization_of,
)
from bench.worker.lines import OperationName

_TEXT = (
    "What a training does per second is compared with what its engine reached by itself in this"
    " run, on the same device with the same threads: its matrix product, its convolution, its"
    " memory (one array added to another in place). Limits are the best of all sizes tried; a"
    " training is its median steady epoch. Other work may have slowed the machine in either."
)
_RULE = (
    "Attainable is the roofline: the smaller of the arithmetic peak (the product's rate; with"
    " convolutions, the mean of both, each for the FLOP done in it) and FLOP per byte times the"
    f" memory's rate, of sums that move no less than a step. From {100 * BOUND_FROM:g} % of the"
    " attainable on, a training is bound by memory or by arithmetic, whichever limits it; from"
    f" {100 * NEITHER_BELOW:g} % on, partly. Below, most of a step's time is neither at the"
    " engine's own best: it is said to be bound by per-step overhead if that time is no longer than"
    f" {MOST_CALLS:,} calls of the engine's smallest operation, else by slow kernels or waiting:"
    " operations stay far from what the same engine reaches elsewhere, or other work on the machine"
    " kept them waiting. This is read off times from outside; no profiler looked."
)
_COUNTED = (
    "FLOP are those of the matrix products and convolutions of the model, forward and backward,"
    " whatever the framework really does. Bytes are a lower bound: every layer's input and output"
    " once forward, gradient and input once backward, weights and the optimizer's state once per"
    " use (`specs/traffic.py` has the formula). A framework that moves more uses more of the"
    " memory's rate than stands here."
)
_ABOVE = (
    "Above 100 %: {}. The limit was disturbed when it was measured, or the framework needs fewer"
    " operations than are counted (as in fast convolutions), or what is counted as moved stayed in"
    " a cache."
)
_COLUMNS = (
    *("workload", "backend", "time per step", "arithmetic"),
    *("of the matrix product's peak", "of the convolution's peak"),
    *("memory", "FLOP/byte", "attainable", "of the attainable", "bound by"),
)
# Operation -> title, unit, how its size is written.
_OPERATIONS: dict[OperationName, tuple[str, str, str]] = {
    "matmul": ("matrix product", "FLOP/s", "{} x {}"),
    "convolution": ("convolution", "FLOP/s", "{} channels"),
    "memory": ("memory", "B/s", "arrays of {}"),
}
_CAPTION = (
    "Rooflines: each engine's limits as lines, trainings as points below them. Solid: the matrix"
    " product, and the memory at its fastest (mostly in a cache); dotted: the memory with its"
    " largest arrays; dashed: the convolution. The distance of a point from the lines is the cost"
    " of overhead and slow kernels."
)


class _Placed(NamedTuple):
    """A row of the summary, the environment of its engine, and how it stands to the limits."""

    row: Row
    environment: str
    utilization: Utilization


def section(run: Run) -> list[Block]:
    """The findings, a row per workload and backend, the roofline, and every engine's limits.

    Nothing is returned or written if no limits apply.

    Raises:
        RunError: the plot cannot be written.
    """
    engines, placed = _place(run)
    if not engines:
        return []
    blocks: list[Block] = [Heading("Hardware utilization", 3)]
    if placed:
        name = _plot_name(run)
        points = [
            Point(p.row["label"], p.row["backend"], p.environment, p.utilization) for p in placed
        ]
        write_roofs(points, engines, run.folder / "plots" / name)
        blocks += [*_placed_blocks(placed), Plot(name, _CAPTION)]
    return [
        *blocks,
        Text("What each engine reached by itself:"),
        _limits_table(list(engines.values())),
        Folded("How these figures are made", [Text(_TEXT), Text(_RULE), Text(_COUNTED)]),
    ]


def _place(run: Run) -> tuple[dict[str, EngineLimits], list[_Placed]]:
    """The limits that apply, by environment, and the rows that ended ok with their utilization."""
    firsts = run.jobs.drop_duplicates(GROUP_AND_BACKEND).set_index(GROUP_AND_BACKEND)
    keys = firsts["key"].to_dict()
    by_key = {record.key: record for record in run.records}
    engines: dict[str, EngineLimits] = {}
    placed: list[_Placed] = []
    for row in rows_of(run.summary):
        record = by_key[keys[identity(row)]]
        own = limits_of(record.job, record.machine, run.limits)
        if own is None:
            continue
        engines[own.environment] = own
        if row["status"] == "ok" and (utilization := _utilization(row, record, own)) is not None:
            placed.append(_Placed(row, own.environment, utilization))
    return engines, placed


def _placed_blocks(placed: Sequence[_Placed]) -> list[Block]:
    """The findings, and the table of trainings."""
    above = [
        f"{one.row['label']} {one.row['backend']}"
        for one in placed
        if _highest_share(one.utilization) > 1
    ]
    return [
        Items(tuple(_findings(placed))),
        Table(_COLUMNS, tuple(_cells(one) for one in placed)),
        *([Text(_ABOVE.format(", ".join(above)))] if above else []),
    ]


def _utilization(row: Row, record: Record, limits: EngineLimits) -> Utilization | None:
    return utilization_of(
        record.job.workload,
        examples=int(row["train_examples"]),
        batch_size=int(row["batch_size"]),
        epoch_seconds=row["epoch_seconds"],
        limits=limits,
    )


def _cells(one: _Placed) -> tuple[str, ...]:
    found = one.utilization
    return (
        str(one.row["label"]),
        str(one.row["backend"]),
        words.seconds(found.step_seconds),
        words.rate(found.flops_per_second, "FLOP/s"),
        words.share(found.of_matmul_peak),
        words.share(found.of_convolution_peak),
        words.rate(found.bytes_per_second, "B/s"),
        f"{found.intensity:.3g}",
        words.rate(found.attainable, "FLOP/s"),
        words.share(found.of_attainable),
        found.bound,
    )


def _findings(placed: Sequence[_Placed]) -> list[str]:
    """A line per workload: what bounds it, and in which backends.

    A backend has its share of the ceiling and the time of a step.
    """
    lines = []
    for workload in dict.fromkeys(one.row["label"] for one in placed):
        own = [one for one in placed if one.row["label"] == workload]
        parts = []
        for bound in dict.fromkeys(one.utilization.bound for one in own):
            backends = ", ".join(
                f"{one.row['backend']} ({words.share(one.utilization.of_attainable)} of the"
                f" attainable, {words.seconds(one.utilization.step_seconds)} per step)"
                for one in own
                if one.utilization.bound == bound
            )
            parts.append(
                f"{'' if bound.startswith('partly') else 'bound by '}{bound} in {backends}"
            )
        warm = " One epoch, which includes the warm-up." if own[0].row["epochs"] == 1 else ""
        once = "" if max(one.row["rounds"] for one in own) > 1 else " Seen in one round."
        lines.append(f"{workload}: {'; '.join(parts)}.{warm}{once}")
    return lines


def _limits_table(engines: Sequence[EngineLimits]) -> Table:
    titles = (title for title, _, _ in _OPERATIONS.values())
    rows = tuple(
        (
            one.environment,
            *(_reached(one, operation) for operation in _OPERATIONS),
            _largest(one),
            words.seconds(one.call_seconds),
            one.status if one.status == "ok" else f"{one.status}: {one.reason}",
        )
        for one in engines
    )
    return Table(("engine", *titles, "memory, largest arrays", "launch overhead", "status"), rows)


def _reached(limits: EngineLimits, operation: OperationName) -> str:
    best, (_, unit, size) = limits.best(operation), _OPERATIONS[operation]
    if best is None:
        return "unavailable"
    what = words.gigabytes(best.size) if operation == "memory" else str(best.size)
    return f"{words.rate(best.per_second, unit)}, {size.format(what, what)}"


def _largest(limits: EngineLimits) -> str:
    sizes = [found for found in limits.reached if found.operation == "memory"]
    return words.rate(sizes[-1].per_second, "B/s") if sizes else "unavailable"


def _highest_share(found: Utilization) -> float:
    return max(found.of_matmul_peak, found.of_convolution_peak or 0.0, found.of_attainable)


def _plot_name(run: Run) -> str:
    columns = ["device", "threads", "dataset", "data_checksum", "machine"]
    device, threads, dataset, checksum, machine = run.summary[columns].iloc[0]
    return re.sub(
        r"[^A-Za-z0-9]+", "-", f"roofline {device} {threads} {dataset} {checksum[:6]} {machine}"
    )
