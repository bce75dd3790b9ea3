"""Writes tables of a run into a user's Markdown file, each between two marks."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from bench.records.files import RunError, write_atomically
from bench.report.form.blocks import Table
from bench.report.form.markdown import markdown_table
from bench.report.run import Run
from bench.report.section import glance
from specs.files import read_regular

_MOST_BYTES = 10_000_000  # of a file of text
# Name of a table in its marks -> the function that makes it.
TABLES: dict[str, Callable[[Run, Sequence[str]], Table]] = {
    "accuracy table": lambda run, wanted: glance.accuracy_overview(run.summary, wanted),
    "results table": lambda run, wanted: glance.results_overview(run.summary, wanted),
    "published table": lambda run, _: glance.published_overview(run.jobs),
}


def fill_table(path: Path, folder: Path, wanted: Sequence[str]) -> Run:
    """Write tables of a run between the marks of a Markdown file.

    The text between the marks is replaced. Returns the run.

    Args:
        path: the file; the marks of a table are two comments, see `marks_of`.
        folder: the run's folder.
        wanted: workloads that the table lists even if they were not run.

    Raises:
        RunError: the folder has no run, or the run has several data sets, machines or devices; or
            the file cannot be read or written, or has no marks.
    """
    run = Run.read(folder)
    places = run.summary[["dataset", "machine", "device"]].drop_duplicates()
    of_workload = run.summary.groupby("label", observed=True)["dataset"].nunique()
    if of_workload.max() > 1 or len(places[["machine", "device"]].drop_duplicates()) > 1:
        names = "; ".join(" on ".join(map(str, row)) for row in places.itertuples(index=False))
        raise RunError(
            f"{folder}: holds several data sets, machines or devices: {names}",
            expected="one machine, one device, and one data set for each workload",
        )
    twice = run.summary[run.summary.duplicated(["label", "backend"])]
    if len(twice):
        raise RunError(
            f"{folder}: {twice['label'].iloc[0]} has several rows of {twice['backend'].iloc[0]}",
            expected="one number of threads, one precision and one mode",
        )
    try:
        text = read_regular(path, _MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"{path}: cannot be read: {error}", expected="a Markdown file in UTF-8"
        ) from error
    places_found = 0
    for name, make in TABLES.items():
        first, last = marks_of(name)
        before, begin, after_first = text.partition(first)
        _, end, after = after_first.partition(last)
        if begin and not end:
            raise RunError(f"{path}: has {first} without the end of the table", expected=last)
        if begin:
            places_found += 1
            table = markdown_table(make(run, wanted))
            text = f"{before}{first}\n\n{table}\n\n{last}{after}"
    if not places_found:
        expected = "; or ".join(" and ".join(marks_of(name)) for name in TABLES)
        raise RunError(f"{path}: has no place for a table", expected=f"two lines, {expected}")
    write_atomically(path, text.encode())
    return run


def marks_of(name: str) -> tuple[str, str]:
    """The lines before and after a table, one of `TABLES`."""
    return f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
