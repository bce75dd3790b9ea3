"""Prints the summary of a run as tables that fit the terminal."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.report.form import words
from bench.report.frame.agreement import DISAGREES
from bench.report.frame.notes import notes
from bench.report.frame.places import Place, Row, place_of, places, rows_of
from bench.report.section.results import accuracy

# Column title -> its text; these fit a terminal of 80 columns.
_SHORT: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "accuracy": accuracy,
    "epoch": lambda row: words.seconds(row["epoch_seconds"]) + ("" if row["epochs"] > 1 else "*"),
    "ratio": lambda row: words.times(row["times_fastest"]) + ("?" if row.get("unsure") else ""),
    "images/s": lambda row: words.per_second(row.get("train_examples_per_second")),
    "memory": lambda row: words.gigabytes(row.get("train_peak_rss_bytes")),
    "start": lambda row: words.seconds(row.get("startup_seconds")),
}
_WIDEST = 1000  # characters; room to measure how wide a table would be
# Columns that a narrow terminal leaves out.
_LESS = (("start",), ("start", "memory"), ("start", "memory", "images/s"))


def print_table(
    summary: pd.DataFrame, frame: pd.DataFrame, noise: Mapping[Place, str], console: Console
) -> None:
    """Print the short tables, within 80 columns, and below each the noise of its place.

    The notes come last, with the jobs that failed.

    Args:
        summary: see `summary.summarise`.
        frame: see `epochs.epochs_frame`.
        noise: the text on timing noise, by machine, device and threads.
        console: where to print.
    """
    for heading, group in places(summary):
        console.print(f"\n{escape(heading)}", highlight=False, soft_wrap=True)
        console.print(_fitting_table(group, console))
        if place_of(group) in noise:
            console.print(noise[place_of(group)], highlight=False, markup=False)
    for line in notes(summary, frame):
        console.print(line, highlight=False, markup=False)


def _fitting_table(group: pd.DataFrame, console: Console) -> Table:
    """A table with as many columns as the terminal has room for; the report has them all."""
    for columns in (
        _SHORT,
        *({c: _SHORT[c] for c in _SHORT if c not in left_out} for left_out in _LESS),
    ):
        table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        for title in columns:
            table.add_column(
                title, justify="left" if title in ("workload", "backend") else "right", no_wrap=True
            )
        previous = None
        for row in rows_of(group):
            cells = _cells(row, columns)
            first = cells[0] if cells[0] != previous else ""
            table.add_row(
                first,
                *map(escape, cells[1:]),
                style="bold red" if row["status"] == DISAGREES else "",
            )
            previous = cells[0]
        if (
            console.measure(table, options=console.options.update(width=_WIDEST)).maximum
            <= console.width
        ):
            break
    return table


def _cells(row: Row, columns: dict[str, Callable[[Row], str]]) -> list[str]:
    if row["status"] != "ok":
        return [row["label"], row["backend"], row["status"], *[words.ABSENT] * (len(columns) - 3)]
    return [text(row) for text in columns.values()]
