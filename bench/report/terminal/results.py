"""Prints the summary of a run as tables that fit the terminal."""

from __future__ import annotations

from collections.abc import Callable

import pandas as pd
from rich.console import Console
from rich.table import Table

from bench.report.chart.results import ratio_text
from bench.report.form import words
from bench.report.frame.doubts import EXCLUDED
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from bench.report.section.glance import noise_line
from bench.report.section.opening import notes
from bench.report.section.results import epoch_time
from bench.report.terminal.plain import plain_table

# Column title -> its text; these fit a terminal of 80 columns.
_SHORT: dict[str, Callable[[Row], str]] = {
    "workload": lambda row: row["label"],
    "backend": lambda row: row["backend"],
    "accuracy": lambda row: words.percent(row["test_accuracy"]),
    "epoch": epoch_time,
    "ratio": ratio_text,
    "images/s": lambda row: words.per_second(row["train_examples_per_second"]),
    "memory": lambda row: words.gigabytes(row["train_peak_rss_bytes"]),
    "start": lambda row: words.seconds(row["startup_seconds"]),
}
_WIDEST = 1000  # characters; room to measure how wide a table would be
# Columns that a narrow terminal leaves out.
_LESS = (("start",), ("start", "memory"), ("start", "memory", "images/s"))


def print_table(run: Run, console: Console) -> None:
    """Print a short table per place with the place's timing noise.

    The notes and the failed jobs come last.
    """
    for place in run.shown.places:
        console.print(f"\n{place.heading}", soft_wrap=True)
        console.print(_fitting_table(place.summary, console))
        console.print(noise_line(place))
    for line in notes(run):
        console.print(line)


def _fitting_table(summary: pd.DataFrame, console: Console) -> Table:
    """A table with the columns that fit the terminal; the report has all columns."""
    for columns in (
        _SHORT,
        *({c: _SHORT[c] for c in _SHORT if c not in left_out} for left_out in _LESS),
    ):
        table = plain_table(columns, ("workload", "backend"))
        previous = None
        for row in rows_of(summary):
            cells = _cells(row, columns)
            first = cells[0] if cells[0] != previous else ""
            style = "bold red" if row["status"] in EXCLUDED else ""
            table.add_row(first, *cells[1:], style=style)
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
