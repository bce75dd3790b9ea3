"""Writes a report as Markdown."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.report.form.blocks import (
    Alarm,
    Block,
    Cards,
    Chart,
    Folded,
    Heading,
    Items,
    Table,
    Text,
)
from bench.report.form.visible import visible

# Our own markup; everything else is text.
_MARKUP = re.compile(r"`[^`]+`|\*\*[\w ,-]+\*\*|\*\w+\*")
# Characters that could begin a link, a picture, HTML, code, emphasis or a cell.
_SPECIAL = re.compile(r"[\\`*\[\]<>|]|&(?=[#\w]+;)|(?<!\w)_|_(?!\w)|~(?=~)")
_BAR = re.compile(r"(?<!\\)\|")
_AT_START = re.compile(r"^(\s*)([-+#>=]|\d+[.)])(?=\s|$|[#>=-])")


def to_markdown(blocks: Sequence[Block]) -> str:
    """The report as Markdown; charts are links to `plots/NAME.png`."""
    return "\n\n".join(filter(None, map(_markdown, blocks))) + "\n"


def markdown_table(table: Table) -> str:
    """One table as Markdown."""
    lines = [_row(table.columns), f"|{' --- |' * len(table.columns)}"]
    return "\n".join([*lines, *map(_row, table.rows)])


def escaped(text: str) -> str:
    """Text in which only our own markup works: `code`, **bold** and *pale*."""
    text, parts, end = visible(text), [], 0
    for match in _MARKUP.finditer(text):
        parts += [_literal(text[end : match.start()]), match[0]]
        end = match.end()
    return "".join([*parts, _literal(text[end:])])


def _literal(text: str) -> str:
    return _SPECIAL.sub(r"\\\g<0>", text)


def _line(text: str) -> str:
    """A paragraph or an item; its first characters cannot begin a list or a heading."""
    return _AT_START.sub(r"\1\\\2", escaped(text.strip()))


def _row(cells: Sequence[str]) -> str:
    # In a table, a bar ends a cell even inside code.
    texts = [_BAR.sub(r"\|", escaped(cell)) for cell in cells]
    return f"| {' | '.join(texts)} |"


def _markdown(block: Block) -> str:
    match block:
        case Heading(text, level):
            return f"{'#' * level} {escaped(text)}"
        case Text(text):
            return _line(text)
        case Alarm(title, text, lines, warns):
            kind = "WARNING" if warns else "CAUTION"
            points = "".join(f"\n> - {_line(line)}" for line in lines)
            inner = f"\n>\n> {_line(text)}" if text else ""
            return f"> [!{kind}]\n> **{escaped(title)}**{inner}" + (
                f"\n>{points}" if points else ""
            )
        case Items(lines):
            return "\n".join(f"- {_line(line)}" for line in lines)
        case Table():
            return markdown_table(block) if block.rows else ""
        case Chart(name, caption):
            return f"![{name}](plots/{name}.png)\n\n{_line(caption)}"
        case Cards(cards):
            return "\n".join(
                f"- {_line(card.title)}: {escaped(card.answer)}"
                + (f" ({escaped(card.text)})" if card.text else "")
                for card in cards
            )
        case Folded(title, blocks):
            inner = "\n\n".join(filter(None, map(_markdown, blocks)))
            return f"<details><summary>{_html(title)}</summary>\n\n{inner}\n\n</details>"


def _html(text: str) -> str:
    return re.sub(r"[&<>\[\]`*]", lambda match: f"&#{ord(match[0])};", visible(text))
