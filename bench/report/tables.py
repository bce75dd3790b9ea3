"""The summary as tables: on the terminal, in Markdown."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import product
from math import isnan
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.report import document, memory, words
from bench.report.agreement import DISAGREES
from bench.report.disturbed import say_disturbed
from bench.report.frame import CELL

Row = dict[str, Any]
Place = tuple[str, str, int]  # machine, device, threads
Unsure = set[tuple[str, frozenset[str]]]
GROUP = ["dataset", "data_checksum", "machine", "device", "device_name", "threads"]


def _accuracy(row: Row) -> str:
    return words.percent(row.get("test_accuracy"))


def _to_target(row: Row) -> str:
    if row["target_accuracy"] is None or isnan(row["target_accuracy"]):
        return words.ABSENT
    if row["target_jobs"] == row["jobs"]:
        return f"{words.seconds(row['seconds_to_target'])}, epoch {row['epochs_to_target']:g}"
    return f"reached by {row['target_jobs']} of {row['jobs']}" if row["target_jobs"] else "not reached"


# Column title -> its text; these fit a terminal of 80 columns.
_SHORT: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "accuracy": _accuracy,
    "epoch": lambda row: words.seconds(row["epoch_seconds"]) + ("" if row["epochs"] > 1 else "*"),
    "ratio": lambda row: words.times(row["times_fastest"]) + ("?" if row.get("unsure") else ""),
    "images/s": lambda row: words.per_second(row.get("train_examples_per_second")),
    "memory": lambda row: words.gigabytes(row.get("train_peak_rss_bytes")),
    "start": lambda row: words.seconds(row.get("startup_seconds")),
}
_WIDEST = 1000  # columns: room to measure a table as wide as it would like to be
_LESS = (("start",), ("start", "memory"), ("start", "memory", "images/s"))  # what a narrow terminal goes without
_RESULTS: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "epochs": lambda row: str(row["epochs"]),
    "jobs": lambda row: f"{row['ok_jobs']} of {row['jobs']}",
    "published": lambda row: words.percent(row["course_accuracy"]),
    "test accuracy": _accuracy,
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
        f"{words.seconds(row['epoch_seconds_sure_low'])} to {words.seconds(row['epoch_seconds_sure_high'])}"
        if not isnan(row["epoch_seconds_sure_low"])
        else words.ABSENT
    ),
    "fastest to slowest epoch": lambda row: (
        f"{words.seconds(row['epoch_seconds_low'])} to {words.seconds(row['epoch_seconds_high'])}"
    ),
    "epochs counted": lambda row: str(row["steady_epochs"]),
    "CPU time": lambda row: words.seconds(row["epoch_cpu_seconds"]),
    "vs fastest": lambda row: words.times(row["times_fastest"]) + ("?" if row.get("unsure") else ""),
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
    "warm-up epochs": lambda row: f"{row['warm_up_epochs']:g}" if row["epochs"] > 1 else words.ABSENT,
    "compile and warm-up": lambda row: words.seconds(max(row["warm_up_seconds"], 0.0)),
    "steady epoch": lambda row: words.seconds(row["epoch_seconds"]) if row["epochs"] > 1 else words.ABSENT,
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


def groups(summary: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """What may stand in one table, with its heading: one data set, one machine, one device."""
    summary = summary.assign(label=label(summary))
    for _, group in summary.groupby(GROUP, sort=False, dropna=False):
        dataset, checksum, machine, device, device_name, threads = group[GROUP].iloc[0]
        device += "" if device.startswith(("cpu", "cuda")) else " (untested)"
        where = f"on {device} with {words.threads(threads)}: {device_name}, {machine}"
        yield f"{dataset} ({checksum[:8]}) {where}", group


def place_of(group: pd.DataFrame) -> Place:
    """Where the rows of one of `tables.groups` were made."""
    machine, device, threads = group[["machine", "device", "threads"]].iloc[0]
    return str(machine), str(device), int(threads)


def mark_unsure(summary: pd.DataFrame, unsure: Mapping[str, Unsure]) -> pd.DataFrame:
    """The summary with a column `unsure`: whether nobody can say that a row and the fastest of its cell differ.

    Args:
        summary: see `summary.summarise`.
        unsure: by table, see `ratios.unsure`.
    """
    marked = set()
    for heading, group in groups(summary):
        for name, cell in group.groupby("label", sort=False):
            fastest = cell.loc[cell["times_fastest"] == 1, "backend"]
            pairs = product(cell["backend"].items(), fastest)
            marked |= {index for (index, one), other in pairs if (name, frozenset((one, other))) in unsure[heading]}
    return summary.assign(unsure=summary.index.isin(list(marked)))


def print_table(summary: pd.DataFrame, frame: pd.DataFrame, noise: Mapping[Place, str], console: Console) -> None:
    """The short table on the terminal, within 80 columns, the noise of its place under it; then what failed.

    Args:
        summary: see `summary.summarise`.
        frame: see `frame.epochs_frame`.
        noise: by machine, device and threads.
        console: where to.
    """
    for heading, group in groups(summary):
        console.print(f"\n{escape(heading)}", highlight=False, soft_wrap=True)
        console.print(_fitting_table(group, console))
        if place_of(group) in noise:
            console.print(noise[place_of(group)], highlight=False, markup=False)
    for line in notes(summary, frame):
        console.print(line, highlight=False, markup=False)


def _fitting_table(group: pd.DataFrame, console: Console) -> Table:
    """As many columns as the terminal has room for; the report has them all."""
    for columns in (_SHORT, *({c: _SHORT[c] for c in _SHORT if c not in left_out} for left_out in _LESS)):
        table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        for title in columns:
            table.add_column(title, justify="left" if title in ("workload", "backend") else "right", no_wrap=True)
        previous = None
        for row in rows_of(group):
            cells = _cells(row, columns)
            first = cells[0] if cells[0] != previous else ""
            table.add_row(first, *map(escape, cells[1:]), style="bold red" if row["status"] == DISAGREES else "")
            previous = cells[0]
        if console.measure(table, options=console.options.update(width=_WIDEST)).maximum <= console.width:
            break
    return table


def section(rows: pd.DataFrame, columns: dict[str, Callable[[Row], str]]) -> document.Table:
    """The rows that ended ok."""
    return document.Table(
        tuple(columns),
        tuple(tuple(text(row) for text in columns.values()) for row in rows_of(rows) if row["status"] == "ok"),
    )


def notes(summary: pd.DataFrame, frame: pd.DataFrame) -> list[str]:
    """What a reader must know to read the table rightly: of the summary, and of every job that did not end ok."""
    ok = summary[summary["status"] == "ok"]
    found = []
    if (summary["epochs"] == 1).any():
        found.append("* one epoch only: its time includes warming up.")
    if not ok.empty and ok["rounds"].max() == 1:
        found.append("One round: time ratios are what was seen once, not a verdict on who is faster.")
    elif ok.get("unsure", pd.Series(dtype=bool)).any():
        found.append("?: that this is not as fast as the fastest is not certain; the report has the intervals.")
    found += say_disturbed(frame, CELL)
    found += words.first_of(_ended_badly(frame))
    partly = summary[(summary["ok_jobs"] > 0) & (summary["ok_jobs"] < summary["jobs"])]
    found += [
        f"{row['workload']} {row['backend']} {row['device']}: figures are of the {row['ok_jobs']} of {row['jobs']} jobs"
        " that ended ok and agree."
        for row in rows_of(partly)
    ]
    return found


def _ended_badly(frame: pd.DataFrame) -> list[str]:
    """A line per job that did not end ok; what disagrees is said elsewhere, see `bench.report.agreement`."""
    jobs = frame[~frame["status"].isin(["ok", DISAGREES])].drop_duplicates("key")
    return [
        f"{row['workload']} {row['backend']} {row['device']}, seed {row['seed']}: {row['status']}, {row['reason']}"
        for row in rows_of(jobs)
    ]


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column `label`: see `label`; as it is where it has one already."""
    return frame if "label" in frame else frame.assign(label=label(frame))


def label(summary: pd.DataFrame) -> pd.Series:
    """A row's workload by name, and what tells it apart where one name was run in several ways."""
    names = summary["workload"].astype(str)
    for column, text in (("epochs", " {} epochs"), ("batch_size", " batch {}"), ("spec", " {}")):
        ways = summary.groupby("workload", observed=True)[column].transform("nunique")
        if (ways > 1).any():
            names += summary[column].astype(str).map(text.format).where(ways > 1, "")
    return names


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """A dictionary per row."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def _cells(row: Row, columns: dict[str, Callable[[Row], str]]) -> list[str]:
    if row["status"] != "ok":
        return [row["label"], row["backend"], row["status"], *[words.ABSENT] * (len(columns) - 3)]
    return [text(row) for text in columns.values()]
