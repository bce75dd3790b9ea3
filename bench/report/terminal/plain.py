"""Makes consoles and tables that print text without interpreting it."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any, Literal

from rich import box
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from bench.report.form.visible import visible


class _PlainConsole(Console):
    """A console in which texts from records cannot move the cursor or change colours."""

    def print(self, *objects: Any, **options: Any) -> None:
        super().print(*map(_harmless, objects), **options)


class _PlainTable(Table):
    """A table in which texts from records cannot do this."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*map(_harmless, cells), **options)


def plain_console(**options: Any) -> Console:
    """A console that interprets no markup, and colours no numbers."""
    return _PlainConsole(markup=False, highlight=False, **options)


def plain_table(titles: Iterable[str], left: Container[str] = (), *, no_wrap: bool = True) -> Table:
    """An empty table without an edge; columns in `left` are aligned to the left."""
    table = _PlainTable(box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    for title in titles:
        justify: Literal["left", "right"] = "left" if title in left else "right"
        table.add_column(_harmless(title), justify=justify, no_wrap=no_wrap)
    return table


def _harmless(part: Any) -> Any:
    """A text with visible control characters; line breaks stay."""
    if isinstance(part, Text):
        return Text(_harmless(part.plain), style=part.style)
    return "\n".join(map(visible, part.split("\n"))) if isinstance(part, str) else part
