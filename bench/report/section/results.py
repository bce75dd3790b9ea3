"""Makes the tables of a run's accuracy, speed and start-up, a row per workload and backend."""

from __future__ import annotations

from math import isnan
from typing import Any

from bench.report.form import words
from bench.report.form.document import Block, Columns, Folded, Heading, Text, table_of
from bench.report.frame.columns import GROUP_AND_BACKEND
from bench.report.frame.places import Row, identity, rows_of
from bench.report.run import Run

FEW_EPOCHS = 2  # the times of jobs with so few epochs are marked and all shown
_MOST_TIMES = 4  # in a cell
_ACCURACY_TEXT = (
    "Accuracies are those after the last epoch, the mean over jobs. The training accuracy is of"
    " the first 10,000 training examples (all, if there are fewer or with `--evaluate full`),"
    " dropout off. The time to the target is training alone, up to the end of the first epoch that"
    " reached it: the median over jobs, if all reached it."
)
_SPEED_TEXT = (
    "A job's time is the median of its turns, per epoch. Without turns it is the median of its"
    " steady epochs: those after the warm-up, without rounds in which the machine was unusually"
    " busy. CPU times are computed in the same way, prediction times by the epochs."
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


def accuracy(run: Run) -> list[Block]:
    """Accuracies, the published one, and the time to the target."""
    columns: Columns = {
        "workload": lambda row: row["label"],
        "backend": lambda row: row["backend"],
        "epochs": lambda row: str(row["epochs"]),
        "jobs": lambda row: f"{row['ok_jobs']} of {row['jobs']}",
        "published": lambda row: words.percent(row["course_accuracy"]),
        "test accuracy": lambda row: words.percent(row["test_accuracy"]),
        "min to max": _range_of_accuracy,
        "target": lambda row: words.percent(row["target_accuracy"]),
        "training time to target": lambda row: to_target(
            row, f"{words.seconds(row['seconds_to_target'])}, epoch {row['epochs_to_target']:g}"
        ),
        "training accuracy": lambda row: words.percent(row["train_accuracy"]),
        "test loss": lambda row: f"{row['test_loss']:.4f}",
    }
    return _blocks("Accuracy", run, columns, _ACCURACY_TEXT)


def speed(run: Run) -> list[Block]:
    """Times of an epoch, ratios to the fastest, and images per second."""
    few = epoch_times(run)
    columns: Columns = {
        "workload": lambda row: row["label"],
        "backend": lambda row: row["backend"],
        "epoch, median": epoch_time,
        "95 % interval": lambda row: _range(row, "epoch_seconds_sure"),
        "ratio to fastest": ratio_to_fastest,
        "epoch times": lambda row: (
            (not row["turns"] and few.get(identity(row))) or _range(row, "epoch_seconds")
        ),
        "turns": lambda row: str(row["turns"] or words.ABSENT),
        "epochs counted": lambda row: str(row["steady_epochs"]),
        "CPU time": lambda row: words.seconds(row["epoch_cpu_seconds"]),
        "training images/s": lambda row: words.per_second(row["train_examples_per_second"]),
        "prediction images/s": lambda row: words.per_second(row["predict_examples_per_second"]),
    }
    return _blocks("Speed", run, columns, _SPEED_TEXT)


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
    }
    return _blocks("Start-up", run, columns, _START_TEXT)


def epoch_time(row: Row) -> str:
    """The time of an epoch, in words; `*` if it is by one or two epochs."""
    return words.seconds(row["epoch_seconds"]) + ("*" if is_by_few_epochs(row) else "")


def is_by_few_epochs(row: Row) -> bool:
    """Whether the time is by one or two epochs, and not by turns."""
    return bool(row["epochs"] <= FEW_EPOCHS and not row["turns"])


def ratio_to_fastest(row: Row) -> str:
    """The row's epoch time divided by that of the fastest backend, as text."""
    return words.ratio(row["times_fastest"], provisional=row["unsure"] is True)


def to_target(row: Row, text: str) -> str:
    """`text`, if all jobs of a row of the summary reached the target; else how many did."""
    if isnan(row["target_accuracy"]):
        return words.ABSENT
    if row["target_jobs"] == row["jobs"]:
        return text
    reached = row["target_jobs"]
    return f"reached by {reached} of {row['jobs']}" if reached else "not reached"


def epoch_times(run: Run) -> dict[tuple[Any, ...], str]:
    """The times of all epochs by group and backend, where jobs have at most `FEW_EPOCHS`.

    Jobs are separated by semicolons. A backend with more than `_MOST_TIMES` such epochs is left
    out; the table shows a range instead.
    """
    columns = [*GROUP_AND_BACKEND, "key", "train_wall_seconds"]
    few = (run.epochs["status"] == "ok") & (run.epochs["epochs"] <= FEW_EPOCHS)
    epochs = run.epochs.loc[few, columns]
    texts = {}
    for group, rows in epochs.groupby(GROUP_AND_BACKEND, sort=False):
        if len(rows) <= _MOST_TIMES:
            times = rows["train_wall_seconds"].map(words.seconds)
            jobs = times.groupby(rows["key"], sort=False)
            texts[group] = "; ".join(", ".join(of_job) for _, of_job in jobs)
    return texts


def _range(row: Row, name: str) -> str:
    return words.span(row[f"{name}_low"], row[f"{name}_high"])


def _range_of_accuracy(row: Row) -> str:
    if row["ok_jobs"] == 1:
        return words.ABSENT
    low, high = row["test_accuracy_low"], row["test_accuracy_high"]
    return f"{words.percent(low)} to {words.percent(high)}"


def _blocks(title: str, run: Run, columns: Columns, text: str) -> list[Block]:
    """A table with these columns, and below it, folded, how its figures are made."""
    if run.ok.empty:
        return []
    how = Folded("How these figures are made", [Text(text)])
    return [Heading(title, 3), table_of(rows_of(run.ok), columns), how]
