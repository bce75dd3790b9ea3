"""Writes a frame as comma-separated values."""

from __future__ import annotations

import csv
import io
from math import inf
from typing import Any

import msgspec
import pandas as pd

from bench.report.form.visible import visible

# A spreadsheet takes a cell that begins with one of these (also in full width) for a formula.
_FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")
_ROWS = 20_000  # rows at a time, to limit memory


def comma_separated(frame: pd.DataFrame) -> bytes:
    """A line of column names, then a line per row, in UTF-8; a missing value is an empty cell.

    Numbers have all digits. An apostrophe precedes a text that begins like a formula.
    `DataFrame.to_csv` takes two to three times as long.
    """
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(frame.columns)
    for first in range(0, len(frame), _ROWS):
        part = frame.iloc[first : first + _ROWS]
        writer.writerows(zip(*(_cells(part[name]) for name in part), strict=True))
    return file.getvalue().encode()


def _cells(column: pd.Series) -> list[Any]:
    # JSON is the fastest way to write numbers, but it has no infinity.
    if column.dtype == float and not column.isin([inf, -inf]).any():
        return msgspec.json.encode(column.tolist()).decode()[1:-1].replace("null", "").split(",")
    cells = column.astype(object).where(column.notna(), "").tolist()
    return [_harmless(cell) if isinstance(cell, str) else cell for cell in cells]


def _harmless(text: str) -> str:
    """Text that is no formula in a spreadsheet, with all characters visible."""
    text = visible(text)
    return f"'{text}" if text.lstrip().startswith(_FORMULA) else text
