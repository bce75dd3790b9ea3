"""Writes a frame as comma-separated values."""

from __future__ import annotations

from math import inf

import msgspec
import pandas as pd


def comma_separated(frame: pd.DataFrame) -> bytes:
    """A line of column names, then a line per row, in UTF-8; a missing value is an empty cell.

    Numbers have all their digits. `DataFrame.to_csv` takes two to three times as long: for 50,000
    records it would be a quarter of the time of the report.
    """
    rows = zip(*([name, *_cells(frame[name])] for name in frame), strict=True)
    return "".join(f"{','.join(row)}\n" for row in rows).encode()


def _cells(column: pd.Series) -> list[str]:
    # JSON is the fastest way to write numbers, but it has no infinity.
    if column.dtype == float and not column.isin([inf, -inf]).any():
        return msgspec.json.encode(column.tolist()).decode()[1:-1].replace("null", "").split(",")
    numbers, values = column.factorize()
    texts = [*map(_quoted, map(str, values)), ""]  # a missing value has the number -1
    return [texts[number] for number in numbers]


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"' if any(c in text for c in ',"\r\n') else text
