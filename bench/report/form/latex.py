"""Writes tables as LaTeX, for a paper or a course; they need the package booktabs."""

from __future__ import annotations

import re
from collections.abc import Sequence

from bench.report.form.blocks import Table
from bench.report.form.visible import visible

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    '"': r"\textquotedbl{}",
    "µ": r"\textmu{}",
    "±": r"\textpm{}",
    **{character: rf"\{character}" for character in "&%$#_{}"},
}
_NUMBER = re.compile(r"[~+-]?[\d.,]+( ?[%a-zA-Zµ]+)?\*?$|-$|none$")


def latex_table(table: Table) -> str:
    r"""A table as a `tabular` environment: columns of numbers are on the right."""
    numbers = [all(map(_NUMBER.match, column)) for column in zip(*table.rows, strict=True)]
    layout = "".join("r" if number else "l" for number in numbers) or "l" * len(table.columns)
    lines = [
        rf"\begin{{tabular}}{{{layout}}}",
        r"\toprule",
        _row(table.columns),
        r"\midrule",
        *map(_row, table.rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(lines) + "\n"


def escaped(text: str) -> str:
    """Text without LaTeX commands and without our own markup."""
    plain = re.sub(r"`([^`]+)`|\*\*([\w ,-]+)\*\*|\*(\w+)\*", r"\1\2\3", visible(text))
    return "".join(_ESCAPES.get(character, character) for character in plain)


def _row(cells: Sequence[str]) -> str:
    line = " & ".join(map(escaped, cells)) + r" \\"
    # LaTeX reads these after the end of a row as options of the row.
    return f"{{}}{line}" if line.startswith(("[", "*")) else line
