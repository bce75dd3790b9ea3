"""Divides rows into tables, in which all rows can be compared, and labels them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd

from bench.report.form import words

Row = dict[str, Any]
Place = tuple[str, str, int]  # machine, device, threads
PLACE_COLUMNS = ["dataset", "data_checksum", "machine", "device", "device_name", "threads"]


def places(summary: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """The rows of each table, with its heading: of one data set, machine, device and threads."""
    summary = summary.assign(label=label(summary))
    for _, group in summary.groupby(PLACE_COLUMNS, sort=False, dropna=False):
        dataset, checksum, machine, device, device_name, threads = group[PLACE_COLUMNS].iloc[0]
        device += "" if device.startswith(("cpu", "cuda")) else " (untested)"
        where = f"on {device} with {words.threads(threads)}: {device_name}, {machine}"
        yield f"{dataset} ({checksum[:8]}) {where}", group


def place_of(group: pd.DataFrame) -> Place:
    """The place where the rows of one of `groups.groups` were made."""
    machine, device, threads = group[["machine", "device", "threads"]].iloc[0]
    return str(machine), str(device), int(threads)


def labelled(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with a column `label` (see `label`); unchanged if it has one already."""
    return frame if "label" in frame else frame.assign(label=label(frame))


def label(summary: pd.DataFrame) -> pd.Series:
    """Each row's workload by name.

    Epochs, batch size and spec are added where the workload was run with several of them.
    """
    names = summary["workload"].astype(str)
    for column, text in (("epochs", " {} epochs"), ("batch_size", " batch {}"), ("spec", " {}")):
        ways = summary.groupby("workload", observed=True)[column].transform("nunique")
        if (ways > 1).any():
            names += summary[column].astype(str).map(text.format).where(ways > 1, "")
    return names


def rows_of(frame: pd.DataFrame) -> list[Row]:
    """A dictionary per row."""
    return [{str(name): value for name, value in row.items()} for row in frame.to_dict("records")]
