"""Makes the section on hardware utilization: each training compared with its engine's peak rates.

The peak rates, also called limits, are the measured rates of matrix product, convolution and
memory.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from bench.records.job import in_precision
from bench.records.limits import EngineLimits, limits_of
from bench.report.chart.roofs import Point, rooflines
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Items, Table, Text
from bench.report.frame.columns import GROUP_AND_BACKEND
from bench.report.frame.places import Row, identity, rows_of
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
    "The rate of each training is compared with its engine's peak rates: the framework's matrix"
    " product, convolution, and memory access (one array is added to another in place), measured"
    " in this run on the same device with the same threads. A peak is the best of all sizes; the"
    " time of a training is its median steady epoch. Other programs may have slowed both."
)
_RULE = (
    "`attainable` is the roofline: the smaller of the arithmetic peak and FLOP/byte times the"
    " memory rate. The arithmetic peak is that of the matrix product; with convolutions, it is the"
    " mean of both, weighted by the FLOP done in each. The memory rate is that of arrays at least"
    f" as large as the bytes of a step; it may be a cache's. At {100 * BOUND_FROM:g} % of the"
    " attainable rate or more, a training is bound by memory or arithmetic, whichever is lower; at"
    f" {100 * NEITHER_BELOW:g} %"
    " or more, partly. Below that, it is bound by per-step overhead if the rest of a step's time"
    f" is at most {MOST_CALLS:,} calls of the engine's smallest operation; else by slow kernels or"
    " waiting. This is computed from times, without a profiler."
)
_COUNTED = (
    "FLOP are those of the model's matrix products and convolutions, forward and backward, even if"
    " the framework executes others. Bytes are a lower bound: each layer's input and output once"
    " forward, gradient and input once backward, weights and the optimizer's state once per use"
    " (see `specs/traffic.py`). A framework that moves more bytes uses more of the memory rate"
    " than is shown."
)
_ABOVE = (
    "Above 100 %: {}. The machine was busy when the peak rate was measured, or the framework needs"
    " fewer operations than are counted (fast convolutions), or the data stayed in a cache, or a"
    " tuned variant trains in a faster layout of images than the engine was measured in."
)
_COLUMNS = (
    *("workload", "backend", "time per step", "arithmetic"),
    *("share of matmul peak", "share of convolution peak"),
    *("memory", "FLOP/byte", "attainable", "share of attainable", "bound by"),
)
# Operation -> title, unit, format of its size.
_OPERATIONS: dict[OperationName, tuple[str, str, str]] = {
    "matmul": ("matrix product", "FLOP/s", "{} x {}"),
    "convolution": ("convolution", "FLOP/s", "{} channels"),
    "memory": ("memory", "B/s", "arrays of {}"),
}


class _Training(NamedTuple):
    """A row of the summary, the environment of its engine, and its share of the peak rates."""

    row: Row
    environment: str
    used: Utilization


def section(run: Run) -> list[Block]:
    """The findings, a row per workload and backend, the roofline, and every engine's limits.

    Nothing is returned if no limits apply.
    """
    engines, trainings = _compare(run)
    if not engines:
        return []
    blocks: list[Block] = []
    if trainings:
        name = _plot_name(run)
        points = [
            Point(row["label"], row["backend"], environment, used)
            for row, environment, used in trainings
        ]
        blocks += [*_training_blocks(trainings), rooflines(name, points, engines)]
    return [
        *blocks,
        Folded("Peak rates of each engine", [_limits_table(list(engines.values()))]),
        Folded("How these figures are made", [Text(_TEXT), Text(_RULE), Text(_COUNTED)]),
    ]


def _compare(run: Run) -> tuple[dict[str, EngineLimits], list[_Training]]:
    """The limits that apply, by environment, and the trainings that ended ok."""
    firsts = run.jobs.drop_duplicates(GROUP_AND_BACKEND).set_index(GROUP_AND_BACKEND)
    keys = firsts["key"].to_dict()
    records = {record.key: record for record in run.records}
    engines: dict[str, EngineLimits] = {}
    trainings: list[_Training] = []
    for row in rows_of(run.summary):
        record = records[keys[identity(row)]]
        limits = limits_of(record.job, record.machine, run.limits, record.variables)
        if limits is None:
            continue
        engine = in_precision(limits.environment, limits.precision)
        engines[engine] = limits
        if row["status"] != "ok":
            continue
        used = utilization_of(
            record.job.workload,
            examples=int(row["train_examples"]),
            batch_size=int(row["batch_size"]),
            epoch_seconds=row["epoch_seconds"],
            limits=limits,
        )
        if used is not None:
            trainings.append(_Training(row, engine, used))
    return engines, trainings


def _training_blocks(trainings: Sequence[_Training]) -> list[Block]:
    """The findings, and the table of trainings."""
    above = [
        f"{row['label']} {row['backend']}"
        for row, _, used in trainings
        if max(used.of_matmul_peak, used.of_convolution_peak or 0.0, used.of_attainable) > 1
    ]
    table = Table(_COLUMNS, tuple(map(_cells, trainings)))
    return [
        Items(tuple(_findings(trainings))),
        Folded("Utilization by workload and backend", [table]),
        *([Text(_ABOVE.format(", ".join(above)))] if above else []),
    ]


def _cells(training: _Training) -> tuple[str, ...]:
    row, _, used = training
    return (
        str(row["label"]),
        str(row["backend"]),
        words.seconds(used.step_seconds),
        words.rate(used.flops_per_second, "FLOP/s"),
        words.share(used.of_matmul_peak),
        words.share(used.of_convolution_peak),
        words.rate(used.bytes_per_second, "B/s"),
        f"{used.intensity:.3g}",
        words.rate(used.attainable, "FLOP/s"),
        words.share(used.of_attainable),
        used.bound,
    )


def _findings(trainings: Sequence[_Training]) -> list[str]:
    """A line per workload: the limits of its speed, and the backends with each limit.

    Each backend is followed by its share of the attainable rate and the time of a step.
    """
    by_workload: dict[str, list[_Training]] = defaultdict(list)
    for training in trainings:
        by_workload[training.row["label"]].append(training)
    lines = []
    for workload, of_workload in by_workload.items():
        backends: dict[str, list[str]] = defaultdict(list)
        for row, _, used in of_workload:
            backends[used.bound].append(
                f"{row['backend']} ({words.share(used.of_attainable)} of the attainable,"
                f" {words.seconds(used.step_seconds)} per step)"
            )
        parts = "; ".join(
            f"{'' if bound.startswith('partly') else 'bound by '}{bound} in {', '.join(names)}"
            for bound, names in backends.items()
        )
        rows = [training.row for training in of_workload]
        warm_up = " One epoch, which includes the warm-up." if rows[0]["epochs"] == 1 else ""
        one_round = "" if max(row["rounds"] for row in rows) > 1 else " Seen in one round."
        lines.append(f"{workload}: {parts}.{warm_up}{one_round}")
    return lines


def _limits_table(engines: Sequence[EngineLimits]) -> Table:
    titles = (title for title, _, _ in _OPERATIONS.values())
    rows = tuple(
        (
            in_precision(limits.environment, limits.precision),
            *(_peak(limits, operation) for operation in _OPERATIONS),
            _rate_of_largest(limits),
            words.seconds(limits.call_seconds),
            limits.status if limits.status == "ok" else f"{limits.status}: {limits.reason}",
        )
        for limits in engines
    )
    return Table(("engine", *titles, "memory, largest arrays", "launch overhead", "status"), rows)


def _peak(limits: EngineLimits, operation: OperationName) -> str:
    best, (_, unit, size) = limits.best(operation), _OPERATIONS[operation]
    if best is None:
        return "unavailable"
    best_size = words.gigabytes(best.size) if operation == "memory" else str(best.size)
    return f"{words.rate(best.per_second, unit)}, {size.format(best_size, best_size)}"


def _rate_of_largest(limits: EngineLimits) -> str:
    largest = limits.largest("memory")
    return words.rate(largest.per_second, "B/s") if largest else "unavailable"


def _plot_name(run: Run) -> str:
    columns = ["device", "threads", "dataset", "data_checksum", "machine"]
    device, threads, dataset, checksum, machine = run.summary[columns].iloc[0]
    return re.sub(
        r"[^A-Za-z0-9]+", "-", f"roofline {device} {threads} {dataset} {checksum[:6]} {machine}"
    )
