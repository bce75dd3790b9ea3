"""Places (data set, machine, device, number of threads), their headings, and labels of rows."""

from __future__ import annotations

from typing import Any

import pandas as pd

from backends.contract import kind_of
from bench.report.form import words
from bench.report.frame.columns import GROUP_AND_BACKEND

Row = dict[str, Any]
PLACE_COLUMNS = ["dataset", "data_checksum", "machine", "device", "device_name", "threads"]


def heading(place: pd.DataFrame) -> str:
    """The heading of a place: its data set, device, threads and machine.

    Args:
        place: rows that are equal in all `PLACE_COLUMNS`.
    """
    dataset, checksum, machine, device, device_name, threads = place[PLACE_COLUMNS].iloc[0]
    device += "" if kind_of(device) in ("cpu", "cuda", "spark") else " (untested)"
    where = f"on {device} with {words.threads(threads)}: {device_name}, {machine}"
    return f"{dataset} ({checksum[:8]}) {where}"


def short_headings(summary: pd.DataFrame) -> list[str]:
    """The properties of each place that differ between places; "" for the only place.

    Args:
        summary: see `summary.summarise`; it defines the order of the places.
    """
    places = summary[PLACE_COLUMNS].drop_duplicates()
    texts: dict[str, Any] = {
        "dataset": str,
        "data_checksum": lambda checksum: f"({checksum[:8]})",
        "machine": str,
        "device": str,
        "device_name": str,
        "threads": words.threads,
    }
    if places["dataset"].nunique() == places["data_checksum"].nunique():
        del texts["data_checksum"]
    several = [name for name in texts if places[name].nunique() > 1]
    return [", ".join(str(texts[name](row[name])) for name in several) for row in rows_of(places)]


def label(rows: pd.DataFrame) -> pd.Series:
    """Each row's workload by name.

    Epochs, batch size and spec are added if the workload was run with several of them.
    """
    names = rows["workload"].astype(str)
    for column, text in (("epochs", " {} epochs"), ("batch_size", " batch {}"), ("spec", " {}")):
        counts = rows.groupby("workload")[column].transform("nunique")
        if (counts > 1).any():
            names += rows[column].astype(str).map(text.format).where(counts > 1, "")
    return names


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """A dictionary per row."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]


def identity(row: Row) -> tuple[Any, ...]:
    """The group and backend of a row of the summary, which are unique."""
    return tuple(row[column] for column in GROUP_AND_BACKEND)
