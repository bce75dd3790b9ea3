"""Makes the table of start-up, and the texts for times, ratios and targets of a row."""

from __future__ import annotations

from math import isnan
from typing import Any

from bench.report.form import words
from bench.report.form.blocks import Block, Columns, Folded, Text, table_of
from bench.report.frame.columns import GROUP_AND_BACKEND
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run

FEW_EPOCHS = 2  # with at most this number of epochs, all times are shown and marked
_MOST_TIMES = 4  # in a cell
ACCURACY_TEXT = (
    "Accuracies are those after the last epoch, the mean over jobs. The training accuracy is of"
    " the first 10,000 training examples (all, if there are fewer or with `--evaluate full`),"
    " dropout off. The time to the target is training alone, up to the end of the first epoch that"
    " reached it: the median over jobs, if all reached it."
)
SPEED_TEXT = (
    "A job's time is the median of its turns, per epoch. Without turns it is the median of its"
    " steady epochs: those after the warm-up, without rounds in which the machine was unusually"
    " busy. CPU times are computed in the same way, prediction times by the epochs. The CPU time of"
    " a job on a GPU is mostly spent waiting for it."
    " A backend's time is the median over its jobs, with an interval of 95 % if there are enough."
    " `ratio to fastest` is the median over sweeps, then over rounds. Epoch times are the fastest"
    " and the slowest turn or steady epoch. Without turns, for jobs of one or two epochs (`*`) all"
    " epochs are listed; the time of a single epoch includes the warm-up."
)
_START_TEXT = (
    "Before the first epoch a job imports the framework, builds the model (some compile here), and"
    " loads the data. `compile and warm-up` is the extra time of the first epochs, compared with as"
    " many steady ones; `none`: they were no slower. All are medians over jobs. Every job compiles"
    " again, as `torch.compile`'s caches on disk are off. The first job of a framework may start"
    " slower, for example because its files are not yet in memory."
)
_FIXED_TEXT = (
    "`of it beside its steps` is what an epoch costs however few steps it has. It is taken from"
    " epochs of one step, trained after the job. The bench trains one epoch per call, so that it"
    " can test in between; a user who trains all epochs in one call, as by `fit(epochs=20)`, may"
    " pay a part of it only once."
)


def start_up(run: Run) -> list[Block]:
    """Times before the first epoch, and the extra time of the first epochs."""
    columns: Columns = {
        "workload": lambda row: row["label"],
        "backend": lambda row: row["backend"],
        "import": lambda row: words.seconds(row["import_seconds"]),
        "build": lambda row: words.seconds(row["build_seconds"]),
        "load": lambda row: words.seconds(row["load_seconds"]),
        "first epoch": lambda row: words.seconds(row["first_epoch_seconds"]),
        "warm-up epochs": lambda row: (
            f"{row['warm_up_epochs']:g}" if row["epochs"] > 1 else words.ABSENT
        ),
        "compile and warm-up": lambda row: (
            "none" if row["warm_up_seconds"] <= 0 else words.seconds(row["warm_up_seconds"])
        ),
        "total before epoch 1": lambda row: words.seconds(row["startup_seconds"]),
        "steady epoch": lambda row: (
            words.seconds(row["epoch_seconds"]) if row["epochs"] > 1 else words.ABSENT
        ),
        "of it beside its steps": _fixed,
    }
    if run.ok.empty:
        return []
    table = table_of(rows_of(run.ok), columns)
    return [Folded("Start-up by phase", [table, Text(_START_TEXT), Text(_FIXED_TEXT)])]


def _fixed(row: Row) -> str:
    """The fixed cost of an epoch, and its share."""
    fixed, epoch = row["fixed_seconds"], row["epoch_seconds"]
    if isnan(fixed) or not epoch > 0 or row["epochs"] == 1:
        return words.ABSENT
    return f"{words.seconds(fixed)} ({words.share(fixed / epoch)})" if fixed > 0 else "none"


def epoch_time(row: Row) -> str:
    """The time of an epoch, as text; with `*` if it comes from one or two epochs."""
    return words.seconds(row["epoch_seconds"]) + ("*" if is_by_few_epochs(row) else "")


def is_by_few_epochs(row: Row) -> bool:
    """Whether the time comes from one or two epochs, and not from turns."""
    return bool(row["epochs"] <= FEW_EPOCHS and not row["turns"])


def to_target(row: Row, text: str) -> str:
    """`text` if all jobs of a row of the summary reached the target; else how many did."""
    if isnan(row["target_accuracy"]):
        return words.ABSENT
    if row["target_jobs"] == row["jobs"]:
        return text
    reached = row["target_jobs"]
    return f"reached by {reached} of {row['jobs']}" if reached else "not reached"


def epoch_times(run: Run) -> dict[tuple[Any, ...], str]:
    """Group and backend -> the times of all epochs, if jobs have at most `FEW_EPOCHS`.

    Semicolons separate jobs. A backend with more than `_MOST_TIMES` epochs is left out, as the
    table shows a range instead.
    """
    columns = [*GROUP_AND_BACKEND, "key", "train_wall_seconds", "trained_epochs"]
    few = (run.epochs["status"] == "ok") & (run.epochs["epochs"] <= FEW_EPOCHS)
    epochs = run.epochs.loc[few, columns]
    texts = {}
    for group, rows in epochs.groupby(GROUP_AND_BACKEND, sort=False):
        if len(rows) <= _MOST_TIMES:
            times = (rows["train_wall_seconds"] / rows["trained_epochs"]).map(words.seconds)
            jobs = times.groupby(rows["key"], sort=False)
            texts[group] = "; ".join(", ".join(of_job) for _, of_job in jobs)
    return texts
