"""Writes a run's accuracy table into a Markdown file of the user, between two marks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.records.files import RunError, write_atomically
from bench.report.form.markdown import markdown_table
from bench.report.run import Run
from bench.report.section import glance
from specs.files import read_regular

_MOST_BYTES = 10_000_000  # of a file of text
_BEGIN, _END = "<!-- accuracy table: begin -->", "<!-- accuracy table: end -->"


def fill_table(path: Path, folder: Path, wanted: Sequence[str]) -> Run:
    """Write a run's accuracy table between the two marks of a Markdown file.

    What is between the marks is replaced. Returns the run.

    Args:
        path: the file; the marks are two comments, `_BEGIN` and `_END`.
        folder: the run's folder.
        wanted: workloads that the table lists even if they were not run.

    Raises:
        RunError: there is no such run, or it has several data sets, machines or devices; or the
            file cannot be read or written, or does not have the two marks.
    """
    run = Run.read(folder)
    places = run.summary[["dataset", "machine", "device"]].drop_duplicates()
    if len(places) > 1:
        names = "; ".join(" on ".join(map(str, row)) for row in places.itertuples(index=False))
        raise RunError(
            f"{folder}: holds several data sets, machines or devices: {names}",
            expected="one of each",
        )
    table = markdown_table(glance.accuracy_overview(run.summary, wanted))
    try:
        text = read_regular(path, _MOST_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise RunError(
            f"{path}: cannot be read: {error}", expected="a Markdown file in UTF-8"
        ) from error
    before, begin, rest = text.partition(_BEGIN)
    _, end, after = rest.partition(_END)
    if not begin or not end:
        raise RunError(
            f"{path}: has no place for the table", expected=f"two lines, {_BEGIN} and {_END}"
        )
    write_atomically(path, f"{before}{_BEGIN}\n\n{table}\n\n{_END}{after}".encode())
    return run
