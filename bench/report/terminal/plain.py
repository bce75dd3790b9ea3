"""Makes consoles and tables that print text without interpreting markup."""

from __future__ import annotations

from collections.abc import Container, Iterable
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table


def plain_console(**options: Any) -> Console:
    """A console that interprets no markup, and colours no numbers."""
    return Console(markup=False, highlight=False, **options)


def plain_table(titles: Iterable[str], left: Container[str] = (), *, no_wrap: bool = True) -> Table:
    """An empty table without an edge; columns in `left` are aligned to the left."""
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False, title_justify="left")
    for title in titles:
        table.add_column(title, justify="left" if title in left else "right", no_wrap=no_wrap)
    return table
