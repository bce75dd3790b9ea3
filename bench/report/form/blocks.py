"""The parts of a report: headings, texts, tables, charts and others.

`document.html` and `form.markdown` write them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from msgspec import Struct

from bench.report.form.words import ABSENT


class Heading(Struct, frozen=True):
    """A heading of level 1 (the page's title), 2 or 3."""

    text: str
    level: int


class Text(Struct, frozen=True):
    """A paragraph; a word in backquotes is code, in ** is bold, in * is pale."""

    text: str


class Alarm(Struct, frozen=True):
    """A box at the top: what is wrong, what that means, and a line per case.

    It is red, or amber if it only `warns`.
    """

    title: str
    text: str
    lines: tuple[str, ...]
    warns: bool = False


class Items(Struct, frozen=True):
    """A list of points; without points it is left out."""

    lines: tuple[str, ...]


class Table(Struct, frozen=True):
    """A table of text.

    Attributes:
        columns: the titles of the columns.
        rows: the cells of each row, one per column.
        caption: what the table shows; "" if the text above it says so.
        keys: one number per cell, by which the page sorts; a cell with None is sorted by its text.
            () if the table cannot be sorted.
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    caption: str = ""
    keys: tuple[tuple[float | None, ...], ...] = ()


Columns = Mapping[str, Callable[[dict[str, Any]], str]]


def table_of(rows: Iterable[dict[str, Any]], columns: Columns) -> Table:
    """A table of rows, without columns that have no figure in any row.

    `columns`: title of a column -> function from a row to the text of its cell.
    """
    cells = tuple(tuple(text(row) for text in columns.values()) for row in rows)
    return without_empty(Table(tuple(columns), cells))


def without_empty(table: Table) -> Table:
    """The table without the columns that have no figure in any row."""
    indices = [
        index
        for index in range(len(table.columns))
        if not table.rows or any(row[index] != ABSENT for row in table.rows)
    ]
    return Table(
        tuple(table.columns[index] for index in indices),
        tuple(tuple(row[index] for index in indices) for row in table.rows),
    )


class Panel(Struct, frozen=True):
    """A part of a chart, such as one workload: its title, and its Vega-Lite specification."""

    title: str
    spec: dict[str, Any]


class Chart(Struct, frozen=True):
    """Panels side by side; the files are `plots/NAME.svg`, `.png` and `.pdf`."""

    name: str
    caption: str
    panels: tuple[Panel, ...]


class Card(Struct, frozen=True):
    """A short answer: its subject, the answer, and a line below it."""

    title: str
    answer: str
    text: str


class Cards(Struct, frozen=True):
    """The answers at the top of a page, side by side."""

    cards: tuple[Card, ...]


class Folded(Struct, frozen=True):
    """Blocks that a reader opens by a click on their title."""

    title: str
    blocks: list[Block]


Block = Heading | Text | Alarm | Items | Table | Chart | Cards | Folded
