"""Makes the sections that compare other modes and precisions with matched training in float32.

Native mode: how a framework's own way of training changes accuracy and speed. TF32 and bfloat16:
how much speed a lower precision gains, and how much accuracy it loses.
"""

from __future__ import annotations

from math import isnan
from typing import NamedTuple

import numpy as np
import pandas as pd

from backends.contract import kind_of
from bench.records.job import in_precision, native_name, usual_name
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Table, Text
from bench.report.frame.columns import GROUP
from bench.report.frame.pairs import times_of
from bench.report.frame.places import Row, identity, rows_of
from bench.report.run import Run
from bench.statistics.accuracy import Verdict, correct_for_many, equivalence
from bench.statistics.timing import Comparison, compare

_TEXT = (
    "Native: the workload as the framework's own tutorial trains it, with the framework's initial"
    " weights, shuffling, input pipeline, and defaults of the optimizer. These cause the"
    " difference in accuracy. The ratio is the native job's time divided by the matched one's,"
    " median over rounds. `input pipeline` is the time of an epoch of the pipeline alone. The"
    " pipeline may run while the device trains, so this is an upper limit of its cost; on a GPU it"
    " may be most of an epoch. The training loop and the compiler cause the rest of the"
    " difference. A native job whose optimizer has the workload's learning rate is suspect if it"
    " is much worse than the matched ones. `bench verify --mode native` runs the checks that"
    " apply: predictions from given weights, repeatability with a seed, and no side effects of"
    " calls."
)
_COLUMNS = (
    *("workload", "backend", "accuracy, matched", "accuracy, native", "difference, points"),
    *("epoch, matched", "epoch, native", "ratio", "input pipeline", "share of the epoch"),
    *("compiled, matched / native", "native optimizer"),
)

_LOWER_TEXT = (
    "`bfloat16` is mixed precision as each framework documents it: factors of products have 8"
    " significant bits; weights, loss, optimizer state and the statistics of batch norm stay in"
    " float32. `tf32` rounds the factors of float32 products to 11 significant bits on NVIDIA's"
    " tensor cores. The work is not the same as in float32, so both are never ranked together. The"
    " ratio is the epoch time divided by that of float32, median over rounds: below 1 the lower"
    " precision is faster; `~`: undecided, e.g. with few rounds. The difference in accuracy is the"
    " mean over seeds that ran in both. `equal` and `different` have the meaning of the section on"
    " accuracy, and need two seeds."
)
_LOWER_COLUMNS = (
    *("workload", "backend", "epoch, float32", "epoch", "ratio to float32"),
    *("accuracy, float32", "accuracy", "difference, points", "verdict on accuracy"),
    *("memory, float32", "memory"),
)


def section(run: Run) -> list[Block]:
    """A table with a row per workload and backend that ran in both modes; nothing if none did."""
    rows_by_identity = {identity(row): row for row in rows_of(run.ok)}
    rows = [
        _cells(row, native, _comparison(run, row))
        for (*group, _), row in rows_by_identity.items()
        if (native := rows_by_identity.get((*group, _native(row)))) is not None
    ]
    if not rows:
        return []
    return [
        Table(_COLUMNS, tuple(rows)),
        Folded("What is compared", [Text(_TEXT)]),
    ]


def _comparison(run: Run, row: Row) -> Comparison:
    """The time of the native job divided by the time of the matched job of this row."""
    ok = run.jobs[run.jobs["status"] == "ok"]
    # Native jobs have no turns, so the times of epochs are compared.
    rows = ok[np.all([ok[column] == row[column] for column in GROUP], axis=0)]
    times = times_of(rows, "epoch_seconds_by_epochs")
    return compare(times[_native(row)], times[row["backend"]])


def _native(row: Row) -> str:
    """The name of the native backend of a matched row."""
    return in_precision(native_name(usual_name(row["backend"])), row["precision"])


def _cells(matched: Row, native: Row, comparison: Comparison) -> tuple[str, ...]:
    inputs, epoch = native["inputs_seconds"], native["epoch_seconds"]
    compiled = ("yes" if row["compiled"] else "no" for row in (matched, native))
    undecided = comparison.outcome == "undecided"
    return (
        str(matched["label"]),
        str(matched["backend"]),
        words.percent(matched["test_accuracy"]),
        words.percent(native["test_accuracy"]),
        words.points(native["test_accuracy"] - matched["test_accuracy"]),
        words.seconds(matched["epoch_seconds"]),
        words.seconds(epoch),
        words.ratio(comparison.ratio, provisional=undecided),
        words.seconds(inputs),
        words.ABSENT if isnan(inputs) else words.percent(inputs / epoch),
        " / ".join(compiled),
        str(native["optimizer"] or words.ABSENT),
    )


class _Pair(NamedTuple):
    """The rows of one training in float32 and in a lower precision.

    `verdict` is about the difference of the accuracies.
    """

    usual: Row
    lower: Row
    times: Comparison
    verdict: Verdict


def lower_precision(run: Run) -> list[Block]:
    """A row per workload and backend that ran in float32 and a lower precision; else nothing."""
    rows = {identity(row): row for row in rows_of(run.ok)}
    pairs = []
    for lower in rows.values():
        float32 = {**lower, "precision": "float32", "backend": usual_name(str(lower["backend"]))}
        usual = rows.get(identity(float32))
        if usual is not None and usual is not lower:
            pairs.append(_pair(run, usual, lower))
    if not pairs:
        return []
    verdicts = correct_for_many([pair.verdict for pair in pairs])
    corrected = [
        pair._replace(verdict=verdict) for pair, verdict in zip(pairs, verdicts, strict=True)
    ]
    return [
        Table(_LOWER_COLUMNS, tuple(map(_lower_cells, corrected))),
        Folded("What is compared", [Text(_LOWER_TEXT)]),
    ]


def _pair(run: Run, usual: Row, lower: Row) -> _Pair:
    jobs = [_jobs(run, row) for row in (usual, lower)]
    # Their turns were not at the same time, so the times of epochs are compared.
    both_jobs = pd.concat(jobs)
    times = times_of(both_jobs, "epoch_seconds_by_epochs")
    of_usual, of_lower = (frame.groupby("seed")["test_accuracy"].mean() for frame in jobs)
    differences = (of_lower - of_usual).dropna().tolist()
    return _Pair(
        usual,
        lower,
        compare(times[lower["backend"]], times[usual["backend"]]),
        equivalence(differences, int(lower["test_examples"])),
    )


def _jobs(run: Run, row: Row) -> pd.DataFrame:
    """The jobs of a row that ended ok."""
    ok = run.jobs[run.jobs["status"] == "ok"]
    same = [ok[column] == row[column] for column in [*GROUP, "backend"]]
    rows: pd.DataFrame = ok[np.all(same, axis=0)]
    return rows


def _lower_cells(pair: _Pair) -> tuple[str, ...]:
    usual, lower, times = pair.usual, pair.lower, pair.times
    undecided = times.outcome == "undecided"
    memory = "allocator_peak_bytes" if kind_of(usual["device"]) != "cpu" else "train_peak_rss_bytes"
    return (
        str(lower["label"]),
        str(lower["backend"]),
        words.seconds(usual["epoch_seconds"]),
        words.seconds(lower["epoch_seconds"]),
        words.ratio(times.ratio, provisional=undecided),
        words.percent(usual["test_accuracy"]),
        words.percent(lower["test_accuracy"]),
        words.points(pair.verdict.difference),
        pair.verdict.outcome if pair.verdict.seeds > 1 else "not tested: 1 seed",
        words.gigabytes(usual[memory]),
        words.gigabytes(lower[memory]),
    )
