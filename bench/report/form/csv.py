"""Writes a frame as comma-separated values, as pandas does, in a quarter of the time."""

from __future__ import annotations

import io
from math import inf

import msgspec
import pandas as pd

# Rows at a time: the texts of all values of a run would take several times the memory of its file.
_ROWS = 20_000


def comma_separated(frame: pd.DataFrame) -> bytes:
    """A line of column names, then a line per row, in UTF-8; a missing value is an empty cell.

    Numbers are written with all their digits, so that reading gives the same numbers; 1e-07 is
    written as 1e-7.
    """
    content = io.BytesIO()
    content.write((",".join(map(_text, frame.columns)) + "\n").encode())
    for first in range(0, len(frame), _ROWS):
        columns = [_texts(frame[name].iloc[first : first + _ROWS]) for name in frame]
        content.write(
            "".join(",".join(cells) + "\n" for cells in zip(*columns, strict=True)).encode()
        )
    return content.getvalue()


def _texts(column: pd.Series) -> list[str]:
    # JSON is the fastest way, but it has no infinity.
    if column.dtype == float and not column.isin([inf, -inf]).any():
        return msgspec.json.encode(column.tolist()).decode()[1:-1].replace("null", "").split(",")
    # A run's frame repeats most values: each is made a text only once.
    places, values = pd.factorize(column)  # place -1: missing
    texts = [*map(_text, values.tolist()), ""]
    return [texts[place] for place in places.tolist()]


def _text(value: object) -> str:
    if isinstance(value, str) and any(mark in value for mark in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return str(value)
