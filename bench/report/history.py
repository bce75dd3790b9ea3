"""The history of results over runs: when a figure changed, and which versions changed with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import pairwise
from math import isfinite, sqrt
from pathlib import Path
from typing import NamedTuple

from rich.console import Console

from bench.records.files import RunError
from bench.records.stored import LeftOut
from bench.report.compare import refuse_run
from bench.report.document.write import write_document
from bench.report.form import words
from bench.report.form.blocks import Block, Heading, Items, Table, Text
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from bench.report.terminal.plain import plain_table
from bench.statistics.accuracy import binomial_error

# A result is followed over runs if all of these are equal; machines are compared by name.
_RESULT = (
    *("workload", "spec", "dataset", "data_checksum", "epochs", "batch_size"),
    *("backend", "device", "threads", "machine"),
)
_COLUMNS = ("workload", "backend", "date", "run", "accuracy", "epoch", "ratio", "what changed")
_MOST_ERRORS = 3.0  # an accuracy has changed if it differs by more standard errors
# A time has changed if it differs by a larger factor; the machine's load may explain a smaller one.
_MOST_FACTOR = 1.5
_TEXT = (
    f"An accuracy has changed if it differs from the previous run by more than {_MOST_ERRORS:g}"
    " standard errors for this number of test images. The ratio is the epoch time divided by the"
    " previous run's. The runs were made at different times, so a time has changed only if it"
    f" differs by a factor of {_MOST_FACTOR:g} or more."
)


class _Point(NamedTuple):
    """The figures of a result in one run."""

    date: str
    run: str
    row: Row
    versions: dict[str, str]


class History:
    """The results of several runs in the order of their dates.

    Attributes:
        left_out: the files of all runs that cannot be read.

    Args:
        folders: the runs' folders, in any order.

    Raises:
        RunError: a run is missing or empty, or there is only one run.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        if len({folder.resolve() for folder in folders}) < 2:  # noqa: PLR2004 - a change needs two
            raise RunError("a single run has no history", expected="two runs or more")
        self.left_out: list[LeftOut] = []
        self._points: dict[tuple[object, ...], list[_Point]] = defaultdict(list)
        for folder in folders:
            run = Run.read(folder)
            self.left_out += run.left_out
            for row in rows_of(run.summary):
                result = tuple(row[name] for name in _RESULT)
                jobs = run.jobs[(run.jobs[list(_RESULT)] == list(result)).all(axis=1)]
                versions = {r.key: r.made_with for r in run.records}[jobs["key"].iloc[0]]
                date = str(jobs["started"].min())[:16].replace("T", " ")
                self._points[result].append(_Point(date, str(folder), row, versions))
        for points in self._points.values():
            points.sort(key=lambda point: point.date)

    def print_table(self, console: Console) -> None:
        """Print a row per result and run, then the changes."""
        table = plain_table(_COLUMNS[:-1], _COLUMNS[:4], no_wrap=False)
        for cells in self._rows():
            table.add_row(*cells[:-1])
        console.print(table)
        for line in self.changes() or ["nothing changed"]:
            console.print(line, soft_wrap=True)

    def changes(self) -> list[str]:
        """A line per result and run in which a figure differs from the run before."""
        return [
            f"{after.row['label']} {after.row['backend']}, since {after.date} ({after.run}): {text}"
            for points in self._points.values()
            for before, after in pairwise(points)
            if (text := _change(before, after))
        ]

    def write(self, folder: Path) -> None:
        """Write the history as `report.md` and `report.html`.

        Raises:
            RunError: the folder is a run's folder, or cannot be written.
        """
        refuse_run(folder)
        changes = self.changes()
        blocks: list[Block] = [
            Heading("History", 1),
            Text("Nothing changed." if not changes else "What changed:"),
            Items(tuple(words.first_of(changes))),
            Heading("All results", 2),
            Text(_TEXT),
            Table(_COLUMNS, tuple(self._rows())),
        ]
        write_document(blocks, folder)

    def _rows(self) -> Iterator[tuple[str, ...]]:
        for points in self._points.values():
            for before, after in zip([None, *points], points, strict=False):
                row = after.row
                ratio = before and row["epoch_seconds"] / before.row["epoch_seconds"]
                yield (
                    str(row["label"]),
                    str(row["backend"]),
                    after.date,
                    after.run,
                    words.percent(row["test_accuracy"]) if row["status"] == "ok" else row["status"],
                    words.seconds(row["epoch_seconds"]),
                    words.ratio(ratio, provisional=True),
                    _change(before, after) if before else "",
                )


def _change(before: _Point, after: _Point) -> str:
    """The figures and versions that differ from the run before; "" if no figure changed."""
    old, new = before.row, after.row
    parts = []
    if old["status"] != new["status"]:
        parts.append(f"{old['status']} became {new['status']}")
    difference = new["test_accuracy"] - old["test_accuracy"]
    if isfinite(difference):
        errors = (binomial_error(row["test_accuracy"], row["test_examples"]) for row in (old, new))
        if abs(difference) > _MOST_ERRORS * sqrt(sum(error**2 for error in errors)):
            parts.append(f"accuracy {words.points(difference)} points")
    ratio = new["epoch_seconds"] / old["epoch_seconds"]
    if isfinite(ratio) and not 1 / _MOST_FACTOR < ratio < _MOST_FACTOR:
        parts.append(f"epoch time {words.ratio(ratio, provisional=True)}")
    if not parts:
        return ""
    names = sorted({*before.versions, *after.versions})
    versions = [
        f"{name} {before.versions.get(name, 'none')} to {after.versions.get(name, 'none')}"
        for name in names
        if before.versions.get(name) != after.versions.get(name)
    ]
    return f"{', '.join(parts)} ({', '.join(versions) or 'the same versions'})"
