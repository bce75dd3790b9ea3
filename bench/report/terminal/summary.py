"""Prints a short summary of a run: do the results agree, which backend is fastest, all backends.

Three workloads fit a terminal of 24 rows and 80 columns.
"""

from __future__ import annotations

from collections import defaultdict

from rich.console import Console
from rich.text import Text

from bench.report.chart.results import ratio_text
from bench.report.form import words
from bench.report.frame.columns import GROUP
from bench.report.frame.pairs import orders_of
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from bench.report.section.glance import noise_line
from bench.report.section.opening import believed, notes
from bench.report.section.ratios import more_rounds
from bench.report.section.results import is_by_few_epochs
from bench.report.terminal.plain import plain_table

_CELL = "{:>5} {:>7} {:>6}"
_TITLES = _CELL.format("acc %", "epoch", "ratio")
_WHERE = ["machine", "device", "device_name", "threads"]


def print_summary(run: Run, console: Console) -> None:
    """Print the result, a table per device, and the notes."""
    console.print(f"\n{run.folder.resolve().name}: {believed(run)}", style="bold")
    for _, summary in run.shown.summary.groupby(_WHERE, sort=False, dropna=False):
        rows = rows_of(summary)
        for line in _fastest(run.shown, rows):
            console.print(line, style="bold")
        console.print(
            f"on {rows[0]['device']} with {words.threads(rows[0]['threads'])}:"
            f" {rows[0]['device_name']}, {rows[0]['machine']}"
        )
        stars = _marked(rows)
        labels = list(dict.fromkeys(map(_workload, rows)))
        backends = list(dict.fromkeys(row["backend"] for row in rows))
        room = console.width - max(map(len, backends))
        titles = [f"{label}{stars[label, data]}\n{data}\n{_TITLES}" for label, data in labels]
        widest = max(len(line) for title in titles for line in title.splitlines())
        per_table = max(1, room // (widest + 1))
        for first in range(0, len(labels), per_table):
            part = slice(first, first + per_table)
            _print_table(
                rows, backends, dict(zip(labels[part], titles[part], strict=True)), console
            )
    if run.calibration is not None:
        console.print(noise_line(run))
    for line in notes(run):
        console.print(line)


def _print_table(
    rows: list[Row], backends: list[str], titles: dict[tuple[str, str], str], console: Console
) -> None:
    """Print a row per backend, and a column per workload, with the data set in its title.

    Args:
        rows: the rows of one device.
        backends: the names of the backends, in order.
        titles: label and data set of a workload -> the lines above its column.
        console: where to print.
    """
    table = plain_table(("\n\nbackend", *titles.values()), {"\n\nbackend"})
    cells = {(row["backend"], *_workload(row)): _cell(row) for row in rows}
    for backend in backends:
        of_backend = (cells.get((backend, *label), Text(words.ABSENT)) for label in titles)
        table.add_row(backend, *of_backend)
    console.print(table)


def _marked(rows: list[Row]) -> dict[tuple[str, str], str]:
    """The mark of each workload: `*` if its times come from one or two epochs, else ""."""
    few = {_workload(row) for row in rows if row["ok_jobs"] and is_by_few_epochs(row)}
    return {label: "*" if label in few else "" for label in map(_workload, rows)}


def _workload(row: Row) -> tuple[str, str]:
    return row["label"], row["dataset"]


def _cell(row: Row) -> Text:
    """Accuracy, epoch time and ratio; green for the fastest, red for wrong or failed results."""
    if row["status"] != "ok":
        bad = row["status"] != "unsupported"
        return Text(row["status"], style="bold red" if bad else "dim")
    accuracy = words.percent(row["test_accuracy"]).removesuffix(" %")
    text = _CELL.format(accuracy, words.seconds(row["epoch_seconds"]), ratio_text(row))
    return Text(text, style="green" if row["times_fastest"] == 1 else "")


def _fastest(run: Run, rows: list[Row]) -> list[str]:
    """A line per fastest backend, or per group of tied backends, with its workloads."""
    labels = {row["label"] for row in rows}
    groups = {tuple(row[column] for column in GROUP) for row in rows}
    pairs = [pair for pair in run.pairs if pair.group in groups and pair.workload in labels]
    won: dict[str, list[str]] = defaultdict(list)
    for order in orders_of(pairs):
        first = order.first
        if len(first) == 1:
            title = f"fastest: {first[0]}"
        elif len(first) == len(order.names) and not order.decided:
            title = f"fastest so far: {first[0]}"
        else:
            title = f"fastest, undecided or equal: {' = '.join(first)}"
        won[title].append(order.workload)
    return [f"{title} ({', '.join(labels)})" for title, labels in won.items()]


def next_command(run: Run) -> str:
    """The suggested next command, its minutes and its purpose; "" if there is none."""
    more = more_rounds(run)
    if more is None:
        return ""
    return (
        f"Next: the same command with --rounds {more.option} (about {more.minutes:.0f} min more)"
        f" detects differences of {100 * more.difference:g} %"
    )
