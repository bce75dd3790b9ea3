"""Writes a report, which is a list of blocks, as Markdown and as one HTML file.

The HTML file contains style and plots.
"""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from msgspec import Struct

from bench.records.files import write_atomically
from bench.report.form.words import ABSENT


class Heading(Struct, frozen=True):
    """A heading of level 1 (the page's title), 2 or 3."""

    text: str
    level: int


class Text(Struct, frozen=True):
    """A paragraph; a word in backquotes is code, in ** is bold, in * is pale."""

    text: str


class Alarm(Struct, frozen=True):
    """A red box at the top: what is wrong, what that means, and a line per case."""

    title: str
    text: str
    lines: tuple[str, ...]


class Items(Struct, frozen=True):
    """A list of points; left out where there are none."""

    lines: tuple[str, ...]


class Table(Struct, frozen=True):
    """Columns and rows of text, as many cells in each row as there are columns."""

    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


Columns = Mapping[str, Callable[[dict[str, Any]], str]]


def table_of(rows: Iterable[dict[str, Any]], columns: Columns) -> Table:
    """A table of rows, without columns that have no figure in any row.

    `columns` has the text of a row's cell by the title of the column.
    """
    cells = tuple(tuple(text(row) for text in columns.values()) for row in rows)
    return without_empty(Table(tuple(columns), cells))


def without_empty(table: Table) -> Table:
    """The table without the columns that have no figure in any row."""
    kept = [
        index
        for index in range(len(table.columns))
        if not table.rows or any(row[index] != ABSENT for row in table.rows)
    ]
    return Table(
        tuple(table.columns[index] for index in kept),
        tuple(tuple(row[index] for index in kept) for row in table.rows),
    )


class Plot(Struct, frozen=True):
    """A plot by its file's name without ending, in the folder `plots/`."""

    name: str
    caption: str


class Folded(Struct, frozen=True):
    """Blocks that a reader opens by a click on their title."""

    title: str
    blocks: list[Block]


Block = Heading | Text | Alarm | Items | Table | Plot | Folded

_STYLE = """
:root { color-scheme: light; --ink: #1c2430; --soft: #5b6675; --line: #dfe4ea; --accent: #0072b2;
  --wrong: #b00020; }
* { box-sizing: border-box; }
body { font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif;
  color: var(--ink); background: #f6f7f9; margin: 0; }
main { max-width: 88rem; margin: 0 auto; padding: 2.5rem 2rem 4rem; background: #fff;
  min-height: 100vh; }
h1 { font-size: 2rem; line-height: 1.2; margin: 0 0 1rem; }
h2 { font-size: 1.35rem; margin: 3rem 0 .75rem; padding-top: 1.25rem;
  border-top: 3px solid var(--accent); }
h3 { font-size: 1.05rem; margin: 1.75rem 0 .5rem; }
p, li { max-width: 46rem; }
code { white-space: nowrap; font-size: .92em; background: #eef1f4; padding: .1em .3em;
  border-radius: 3px; }
.scroll { overflow-x: auto; margin: .5rem 0 1rem; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--soft); border-bottom: 2px solid var(--line); }
th, td { padding: .35rem .7rem .35rem 0; vertical-align: top; white-space: nowrap; }
td { border-bottom: 1px solid var(--line); }
td.long { white-space: normal; min-width: 18rem; }
em { color: var(--soft); font-style: normal; font-weight: 400; }
th.number, td.number { text-align: right; }
tbody tr:hover { background: #f3f8fc; }
details { margin: 1rem 0; }
details td { white-space: normal; }
summary { cursor: pointer; color: var(--accent); font-weight: 600; }
.alarm { border: 2px solid var(--wrong); border-left-width: 10px; background: #fdecea;
  padding: .75rem 1.25rem; margin: 1rem 0 1.5rem; }
.alarm strong { color: var(--wrong); font-size: 1.15rem; }
figure { margin: 1.5rem 0 2.5rem; }
img { max-width: 100%; height: auto; }
figcaption, footer { color: var(--soft); font-size: .9rem; }
@media (max-width: 40rem) { main { padding: 1.25rem 1rem 3rem; } }
@media print { body { background: #fff; } main { padding: 0; } h2, figure { break-inside: avoid; } }
"""
_LONG_CELL = 45  # characters; such a cell and longer ones are broken into lines
_NUMBER = re.compile(
    r"[-+~]?[\d.,]+ ?(%|s|ms|µs|x|MB|GB|J|kJ|W|points)?(,? .*)?$|-$|none$|not |reached|disagrees$"
)


def to_markdown(blocks: Sequence[Block]) -> str:
    """The report as Markdown; plots are links to `plots/NAME.png`."""
    return "\n\n".join(filter(None, map(_markdown, blocks))) + "\n"


def to_html(blocks: Sequence[Block], folder: Path) -> str:
    """The report as one HTML file, which contains style and plots (`folder/plots/NAME.svg`)."""
    title = next((block.text for block in blocks if isinstance(block, Heading)), "report")
    body = "\n".join(filter(None, (_html(block, folder) for block in blocks)))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{html.escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n"
        "<footer>Made by framework-bench from the run's records.</footer>\n"
        "</main>\n</body>\n</html>\n"
    )


def markdown_table(table: Table) -> str:
    """One table as Markdown."""
    lines = [f"| {' | '.join(table.columns)} |", f"|{' --- |' * len(table.columns)}"]
    lines += [
        f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in table.rows
    ]
    return "\n".join(lines)


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {text}"
        case Text(text):
            return text
        case Alarm(title, text, lines):
            points = "".join(f"\n> - {line}" for line in lines)
            return f"> [!CAUTION]\n> **{title}**\n>\n> {text}\n>{points}"
        case Items(lines):
            return "\n".join(f"- {line}" for line in lines)
        case Table():
            return markdown_table(block) if block.rows else ""
        case Plot(name, caption):
            return f"![{name}](plots/{name}.png)\n\n*{caption}*"
        case Folded(title, blocks):
            inner = "\n\n".join(filter(None, map(_markdown, blocks)))
            return f"<details><summary>{html.escape(title)}</summary>\n\n{inner}\n\n</details>"


def _html(block: Block, folder: Path) -> str:
    match block:
        case Heading(text, level):
            return f"<h{level}>{_inline(text)}</h{level}>"
        case Text(text):
            return f"<p>{_inline(text)}</p>"
        case Alarm(title, text, lines):
            inner = _html(Text(text), folder) + _html(Items(lines), folder)
            return (
                f'<section class="alarm" role="alert"><strong>{_inline(title)}</strong>\n'
                f"{inner}</section>"
            )
        case Items(lines):
            items = "\n".join(f"<li>{_inline(line)}</li>" for line in lines)
            return f"<ul>\n{items}\n</ul>" if lines else ""
        case Table():
            return _html_table(block) if block.rows else ""
        case Plot(name, caption):
            image = base64.b64encode((folder / "plots" / f"{name}.svg").read_bytes()).decode()
            return (
                f'<figure><img alt="{html.escape(caption)}"'
                f' src="data:image/svg+xml;base64,{image}">'
                f"<figcaption>{_inline(caption)}</figcaption></figure>"
            )
        case Folded(title, blocks):
            inner = "\n".join(filter(None, (_html(inner_block, folder) for inner_block in blocks)))
            return f"<details><summary>{_inline(title)}</summary>\n{inner}\n</details>"


def _html_table(table: Table) -> str:
    numbers = [all(_NUMBER.match(row[n]) for row in table.rows) for n in range(len(table.columns))]

    def cells(tag: str, row: Sequence[str]) -> str:
        return "".join(
            f"<{tag}{_cell_class(cell, number=number)}>{_inline(cell)}</{tag}>"
            for cell, number in zip(row, numbers, strict=True)
        )

    rows = "\n".join(f"<tr>{cells('td', row)}</tr>" for row in table.rows)
    return (
        f'<div class="scroll"><table>\n<thead><tr>{cells("th", table.columns)}</tr></thead>\n'
        f"<tbody>\n{rows}\n</tbody>\n</table></div>"
    )


def _cell_class(cell: str, *, number: bool) -> str:
    if len(cell) >= _LONG_CELL:
        return ' class="long"'
    return ' class="number"' if number else ""


def _inline(text: str) -> str:
    text = re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
    text = re.sub(r"\*\*(\w+)\*\*", r"<strong>\1</strong>", text)
    return re.sub(r"\*(\w+)\*", r"<em>\1</em>", text)


def write_document(blocks: Sequence[Block], folder: Path) -> None:
    """Write `report.md` and `report.html`; their plots must lie in `folder/plots`."""
    write_atomically(folder / "report.md", to_markdown(blocks).encode())
    write_atomically(folder / "report.html", to_html(blocks, folder).encode())
