"""A frame as comma-separated values: what pandas writes, in a quarter of the time."""

from __future__ import annotations

import io
from math import inf

import msgspec
import pandas as pd

_ROWS = (
    20_000  # at a time: the text of a whole run's values would take several times its file's memory
)


def comma_separated(frame: pd.DataFrame) -> bytes:
    """A line of names, then one per row; what is missing is nothing between commas.

    Numbers stand with all their digits, so that they are read as what they were; 1e-07 is written
    as 1e-7.
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
    if (
        column.dtype == float and not column.isin([inf, -inf]).any()
    ):  # JSON has no infinity, and nothing is faster
        return msgspec.json.encode(column.tolist()).decode()[1:-1].replace("null", "").split(",")
    # A run's frame says most things many times over: each is put into words once.
    places, values = pd.factorize(column)  # place -1: missing
    texts = [*map(_text, values.tolist()), ""]
    return [texts[place] for place in places.tolist()]


def _text(value: object) -> str:
    if isinstance(value, str) and any(mark in value for mark in ',"\r\n'):
        return '"' + value.replace('"', '""') + '"'
    return str(value)
