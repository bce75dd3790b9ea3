"""Makes the section that compares each training with the limits of its engine.

The limits are the rates that the engine's matrix product, convolution and memory reached.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.records.job import Record
from bench.records.limits import EngineLimits, limits_of
from bench.report.form import words
from bench.report.form.document import Block, Folded, Heading, Items, Plot, Table, Text
from bench.report.frame.epochs import GROUP_AND_BACKEND
from bench.report.frame.places import Row, rows_of
from bench.report.plot.roofs import Point, write_roofs
from bench.statistics.roofline import BOUND_FROM, MOST_CALLS, NEITHER_BELOW, Standing, stand
from bench.worker.lines import OperationName

_TEXT = (
    "What a training does per second against what its engine reached by itself in this run, on the"
    " same device with the same threads: the matrix product, the convolution, the memory (one array"
    " added to another in place). Limits are the best of all sizes tried, a training is its median"
    " steady epoch; both are what was seen in this run, on a machine that may have done other work."
)
_RULE = (
    "The ceiling is the roofline's: the smaller of the arithmetic peak (the product's rate; with"
    " convolutions, the mean of both, each for the FLOP done in it) and FLOP per byte times the"
    f" memory's rate, of sums that move no less than a step. From {100 * BOUND_FROM:g} % of the"
    " ceiling on, a training is bound by memory or by arithmetic, whichever roof it is under; from"
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
    *("workload", "backend", "step", "arithmetic", "of product", "of convolution"),
    *("memory", "FLOP/byte", "ceiling", "of ceiling", "bound by"),
)
# Operation -> title, unit, how its size is written.
_OPERATIONS: dict[OperationName, tuple[str, str, str]] = {
    "matmul": ("matrix product", "FLOP/s", "{} x {}"),
    "convolution": ("convolution", "FLOP/s", "{} channels"),
    "memory": ("memory", "B/s", "arrays of {}"),
}
_CAPTION = (
    "Rooflines: each engine's limits, and where the trainings stand under them. Solid: the matrix"
    " product, and the memory at its fastest (in a cache, mostly); dotted: the memory with its"
    " largest arrays; dashed: the convolution. How far a point is below the lines is what overhead,"
    " and kernels far from the best, cost."
)


class _Placed(NamedTuple):
    """A row of the summary, the environment of its engine, and how it stands to the limits."""

    row: Row
    environment: str
    standing: Standing


def limit_blocks(
    group: pd.DataFrame,
    frame: pd.DataFrame,
    records: Sequence[Record],
    limits: Sequence[EngineLimits],
    plots: Path,
) -> list[Block]:
    """Every engine's limits, a row per workload and backend, the roofline, and the findings.

    Nothing is returned or written if no limits apply.

    Args:
        group: see `summary.summarise`; the rows of one of `groups.groups`.
        frame: see `epochs.epochs_frame`; the rows of the same group.
        records: the run's records.
        limits: the limits that were measured in the run.
        plots: the folder that the roofline is written to.

    Raises:
        RunError: the folder cannot be written.
    """
    engines, placed = _place(group, frame, records, limits)
    if not engines:
        return []
    blocks: list[Block] = [
        Heading("How far from the limit", 3),
        Text(_TEXT),
        _limits_table(list(engines.values())),
    ]
    if not placed:
        return blocks
    name = _plot_name(group)
    points = [Point(p.row["label"], p.row["backend"], p.environment, p.standing) for p in placed]
    write_roofs(points, engines, plots / name)
    return [*blocks, *_placed_blocks(placed), Plot(name, _CAPTION)]


def _place(
    group: pd.DataFrame,
    frame: pd.DataFrame,
    records: Sequence[Record],
    limits: Sequence[EngineLimits],
) -> tuple[dict[str, EngineLimits], list[_Placed]]:
    """The limits that apply, by environment, and the rows that ended ok with their standing."""
    keys = frame.drop_duplicates(GROUP_AND_BACKEND).set_index(GROUP_AND_BACKEND)["key"].to_dict()
    by_key = {record.key: record for record in records}
    engines: dict[str, EngineLimits] = {}
    placed: list[_Placed] = []
    for row in rows_of(group):
        record = by_key[keys[tuple(row[column] for column in GROUP_AND_BACKEND)]]
        own = limits_of(record.job, record.machine, limits)
        if own is None:
            continue
        engines[own.environment] = own
        if row["status"] == "ok" and (standing := _standing(row, record, own)) is not None:
            placed.append(_Placed(row, own.environment, standing))
    return engines, placed


def _placed_blocks(placed: Sequence[_Placed]) -> list[Block]:
    """The findings, the table of trainings, and how both were made."""
    above = [
        f"{one.row['label']} {one.row['backend']}"
        for one in placed
        if _highest_share(one.standing) > 1
    ]
    return [
        Items(tuple(_findings(placed))),
        Table(_COLUMNS, tuple(_cells(one) for one in placed)),
        *([Text(_ABOVE.format(", ".join(above)))] if above else []),
        Folded("What is counted, and the rule of the last column", [Text(_RULE), Text(_COUNTED)]),
    ]


def _standing(row: Row, record: Record, limits: EngineLimits) -> Standing | None:
    return stand(
        record.job.workload,
        examples=int(row["train_examples"]),
        batch_size=int(row["batch_size"]),
        epoch_seconds=row["epoch_seconds"],
        limits=limits,
    )


def _cells(one: _Placed) -> tuple[str, ...]:
    found = one.standing
    return (
        str(one.row["label"]),
        str(one.row["backend"]),
        words.seconds(found.step_seconds),
        words.rate(found.flops_per_second, "FLOP/s"),
        words.share(found.of_product),
        words.share(found.of_convolution),
        words.rate(found.bytes_per_second, "B/s"),
        f"{found.intensity:.3g}",
        words.rate(found.ceiling, "FLOP/s"),
        words.share(found.of_ceiling),
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
        for bound in dict.fromkeys(one.standing.bound for one in own):
            backends = ", ".join(
                f"{one.row['backend']} ({words.share(one.standing.of_ceiling)} of the ceiling,"
                f" {words.seconds(one.standing.step_seconds)} per step)"
                for one in own
                if one.standing.bound == bound
            )
            parts.append(
                f"{'' if bound.startswith('partly') else 'bound by '}{bound} in {backends}"
            )
        warm = " One epoch only, which includes warming up." if own[0].row["epochs"] == 1 else ""
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
    return Table(("engine", *titles, "memory, largest arrays", "a call", "measured"), rows)


def _reached(limits: EngineLimits, operation: OperationName) -> str:
    best, (_, unit, size) = limits.best(operation), _OPERATIONS[operation]
    if best is None:
        return "unavailable"
    what = words.gigabytes(best.size) if operation == "memory" else str(best.size)
    return f"{words.rate(best.per_second, unit)}, {size.format(what, what)}"


def _largest(limits: EngineLimits) -> str:
    sizes = [found for found in limits.reached if found.operation == "memory"]
    return words.rate(sizes[-1].per_second, "B/s") if sizes else "unavailable"


def _highest_share(found: Standing) -> float:
    return max(found.of_product, found.of_convolution or 0.0, found.of_ceiling)


def _plot_name(group: pd.DataFrame) -> str:
    columns = ["device", "threads", "dataset", "data_checksum", "machine"]
    device, threads, dataset, checksum, machine = group[columns].iloc[0]
    return re.sub(
        r"[^A-Za-z0-9]+", "-", f"roofline {device} {threads} {dataset} {checksum[:6]} {machine}"
    )
