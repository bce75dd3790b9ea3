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
    "Accuracy: after the last epoch, mean over jobs. Training accuracy: on the first 10,000"
    " training examples (all, if there are fewer or with `--evaluate full`), without dropout."
    " Training time to target: until the end of the first epoch that reaches it, without"
    " evaluation; median over jobs, if all reach it."
)
SPEED_TEXT = (
    "A job's epoch time is the median of its turns. Without turns, it is the median of its steady"
    " epochs: epochs after the warm-up, except in rounds with an unusually busy machine. CPU times"
    " are computed in the same way; prediction times come from epochs. On a GPU, CPU time is"
    " mostly waiting for the GPU. A backend's time is the median over its jobs, with an interval"
    " of 95 % if there are enough. `ratio to fastest` is the median over sweeps, then over rounds."
    " `fastest to slowest`: turns, else steady epochs. Without turns, all epochs of jobs with one"
    " or two epochs (`*`) are listed; a single epoch includes the warm-up."
)
_START_TEXT = (
    "Before the first epoch a job imports the framework, builds the model (some compile here), and"
    " loads the data. `compile and warm-up` is the time of the warm-up epochs minus the time of"
    " the same number of steady epochs of the job; `none`: they were not slower. `steady epoch` is"
    " from turns, if there are any. All figures are medians over"
    " jobs. Every job compiles again, because `torch.compile`'s disk caches are off. The first job"
    " of a framework may start slower, for example because its files are not yet in memory."
)
_FIXED_TEXT = (
    "`fixed cost of an epoch` does not depend on its number of steps. It is measured with epochs"
    " of one step, after the job. The bench trains one epoch per call, to test in between; if you"
    " train all epochs in one call, e.g. `fit(epochs=20)`, you may pay a part of it only once."
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
        "fixed cost of an epoch": _fixed,
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
