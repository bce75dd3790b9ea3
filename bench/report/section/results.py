"""Makes the tables of a run's accuracy, speed, start-up and memory."""

from __future__ import annotations

from collections.abc import Callable
from math import isnan

import pandas as pd

from bench.report.form import document, words
from bench.report.frame.places import Row, rows_of
from bench.report.section import memory


def accuracy(row: Row) -> str:
    """The test accuracy of a row of the summary, in words."""
    return words.percent(row.get("test_accuracy"))


def _to_target(row: Row) -> str:
    if row["target_accuracy"] is None or isnan(row["target_accuracy"]):
        return words.ABSENT
    if row["target_jobs"] == row["jobs"]:
        return f"{words.seconds(row['seconds_to_target'])}, epoch {row['epochs_to_target']:g}"
    return (
        f"reached by {row['target_jobs']} of {row['jobs']}" if row["target_jobs"] else "not reached"
    )


_RESULTS: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "epochs": lambda row: str(row["epochs"]),
    "jobs": lambda row: f"{row['ok_jobs']} of {row['jobs']}",
    "published": lambda row: words.percent(row["course_accuracy"]),
    "test accuracy": accuracy,
    "lowest to highest": lambda row: (
        f"{words.percent(row['test_accuracy_low'])} to {words.percent(row['test_accuracy_high'])}"
        if row["ok_jobs"] > 1
        else words.ABSENT
    ),
    "target": lambda row: words.percent(row["target_accuracy"]),
    "training time to target": _to_target,
    "training accuracy": lambda row: words.percent(row["train_accuracy"]),
    "test loss": lambda row: f"{row['test_loss']:.4f}",
}
_SPEED: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "epoch, median": lambda row: words.seconds(row["epoch_seconds"]),
    "95 % interval": lambda row: (
        f"{words.seconds(row['epoch_seconds_sure_low'])} to"
        f" {words.seconds(row['epoch_seconds_sure_high'])}"
        if not isnan(row["epoch_seconds_sure_low"])
        else words.ABSENT
    ),
    "fastest to slowest epoch": lambda row: (
        f"{words.seconds(row['epoch_seconds_low'])} to {words.seconds(row['epoch_seconds_high'])}"
    ),
    "epochs counted": lambda row: str(row["steady_epochs"]),
    "CPU time": lambda row: words.seconds(row["epoch_cpu_seconds"]),
    "vs fastest": lambda row: (
        words.times(row["times_fastest"]) + ("?" if row.get("unsure") else "")
    ),
    "training images/s": lambda row: words.per_second(row["train_examples_per_second"]),
    "prediction images/s": lambda row: words.per_second(row["predict_examples_per_second"]),
}
_START: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "import": lambda row: words.seconds(row["import_seconds"]),
    "build": lambda row: words.seconds(row["build_seconds"]),
    "load": lambda row: words.seconds(row["load_seconds"]),
    "first epoch": lambda row: words.seconds(row["first_epoch_seconds"]),
    "warm-up epochs": lambda row: (
        f"{row['warm_up_epochs']:g}" if row["epochs"] > 1 else words.ABSENT
    ),
    "compile and warm-up": lambda row: words.seconds(max(row["warm_up_seconds"], 0.0)),
    "steady epoch": lambda row: (
        words.seconds(row["epoch_seconds"]) if row["epochs"] > 1 else words.ABSENT
    ),
}
_MEMORY: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "peak loading": lambda row: words.gigabytes(row["load_peak_rss_bytes"]),
    "peak training": lambda row: words.gigabytes(row["train_peak_rss_bytes"]),
    "peak predicting": lambda row: words.gigabytes(row["predict_peak_rss_bytes"]),
    "device, allocator": memory.allocator_peak,
    "device, driver": memory.device_peak,
}
SECTIONS = (("Accuracy", _RESULTS), ("Speed", _SPEED), ("Start-up", _START), ("Memory", _MEMORY))


def section(rows: pd.DataFrame, columns: dict[str, Callable[[Row], str]]) -> document.Table:
    """A table of these columns, with the rows that ended ok."""
    return document.Table(
        tuple(columns),
        tuple(
            tuple(text(row) for text in columns.values())
            for row in rows_of(rows)
            if row["status"] == "ok"
        ),
    )
