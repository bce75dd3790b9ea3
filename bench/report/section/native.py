"""Makes the section that compares native mode with matched mode.

It shows what a framework's own way of training changes in accuracy and speed.
"""

from __future__ import annotations

from math import isnan

import numpy as np

from bench.records.job import native_name
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Table, Text
from bench.report.frame.columns import GROUP
from bench.report.frame.pairs import times_of
from bench.report.frame.places import Row, identity, rows_of
from bench.report.run import Run
from bench.statistics.timing import Comparison, compare

_TEXT = (
    "Native: the workload as the framework's own tutorial trains it, with the framework's initial"
    " weights, shuffling, input pipeline, and defaults of the optimizer. These cause the difference"
    " in accuracy. The ratio is the native job's time divided by the matched one's, median over"
    " rounds. `input pipeline` is the time of an epoch of the pipeline alone. It may run while the"
    " device trains, so it is the most that the pipeline costs. The rest of the difference is due"
    " to the training loop and the compiler. A native job whose optimizer has the workload's"
    " learning rate is suspect if it is much worse than the matched ones. `bench verify --mode"
    " native` makes the checks that apply: predictions from given weights, whether a seed repeats,"
    " and purity."
)
_COLUMNS = (
    *("workload", "backend", "accuracy, matched", "accuracy, native", "difference, points"),
    *("epoch, matched", "epoch, native", "ratio", "input pipeline", "share of the epoch"),
    *("compiled, matched / native", "native optimizer"),
)


def section(run: Run) -> list[Block]:
    """A table with a row per workload and backend that ran in both modes; nothing if none did."""
    rows_by_identity = {identity(row): row for row in rows_of(run.ok)}
    rows = [
        _cells(row, native, _comparison(run, row))
        for (*group, name), row in rows_by_identity.items()
        if (native := rows_by_identity.get((*group, native_name(name)))) is not None
    ]
    if not rows:
        return []
    return [
        Table(_COLUMNS, tuple(rows)),
        Folded("What is compared", [Text(_TEXT)]),
    ]


def _comparison(run: Run, row: Row) -> Comparison:
    """The time of the native job divided by that of the matched one of this row."""
    ok = run.jobs[run.jobs["status"] == "ok"]
    # Native jobs take no turns, so both are compared by their epochs.
    rows = ok[np.all([ok[column] == row[column] for column in GROUP], axis=0)]
    times = times_of(rows, "epoch_seconds_by_epochs")
    return compare(times[native_name(row["backend"])], times[row["backend"]])


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
