"""Makes the section that compares native mode with matched mode.

It shows what a framework's own way of training changes in accuracy and speed.
"""

from __future__ import annotations

import pandas as pd

from bench.records.job import native_name
from bench.report.form import words
from bench.report.form.document import Block, Heading, Table, Text
from bench.report.frame.epochs import GROUP
from bench.report.frame.places import rows_of

_TEXT = (
    "Native: the workload as the framework's own tutorial trains it, with its own initial weights,"
    " shuffle, input pipeline, and the optimizer of that name with the framework's own constants."
    " The difference in accuracy is of these semantics. Of the difference in time, `input pipeline`"
    " is an epoch of the pipeline alone, read without training (it may run while the device trains,"
    " so that it is at most what it costs); the rest is the training loop and the compiler, which"
    " stands beside it. Nobody promised equality here, so of the verification only the checks of"
    " prediction from given weights, of a seed's repetition and of purity apply: `bench verify"
    " --mode native`."
)
_COLUMNS = (
    *("workload", "backend", "accuracy, matched", "native", "points"),
    *("epoch, matched", "native", "ratio", "input pipeline", "share of it"),
    *("compiled", "native optimizer"),
)


def native_blocks(summary: pd.DataFrame) -> list[Block]:
    """A table with a row per workload and backend that ran in both modes; nothing if none did.

    Args:
        summary: see `summary.summarise`; the rows of one of `groups.groups`.
    """
    ok = summary[summary["status"] == "ok"]
    rows = []
    for _, cell in ok.groupby(GROUP, sort=False):
        by_name = {row["backend"]: row for row in rows_of(cell)}
        for name, matched in by_name.items():
            native = by_name.get(native_name(name))
            if native is None:
                continue
            inputs, epoch = native["inputs_seconds"], native["epoch_seconds"]
            compiled = ("yes" if row["compiled"] else "no" for row in (matched, native))
            rows.append(
                (
                    str(matched["label"]),
                    str(name),
                    words.percent(matched["test_accuracy"]),
                    words.percent(native["test_accuracy"]),
                    words.points(native["test_accuracy"] - matched["test_accuracy"]),
                    words.seconds(matched["epoch_seconds"]),
                    words.seconds(epoch),
                    words.times(epoch / matched["epoch_seconds"]),
                    words.seconds(inputs),
                    words.percent(inputs / epoch),
                    " / ".join(compiled),
                    str(native["optimizer"] or words.ABSENT),
                )
            )
    if not rows:
        return []
    return [Heading("Native mode against matched", 3), Text(_TEXT), Table(_COLUMNS, tuple(rows))]
