"""Writes runs for Apache Otava, which finds the points at which a series of results changed.

Format: Otava's `docs/CSV.md` and `otava/importer.py`, version 0.8.0. All rows of a file are one
series in the order of time, and no metric may be missing. So there is a file per result. The
configuration names all files; it is JSON, which is also YAML.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from bench.records.files import write_atomically
from bench.records.stored import LeftOut
from bench.report.form.csv import comma_separated
from bench.report.frame.columns import GROUP_AND_BACKEND
from bench.report.run import Run

# Metric -> whether more is better (1) or worse (-1).
_METRICS = {"epoch_seconds": -1, "images_per_second": 1, "test_accuracy": 1}
_ATTRIBUTES = ["run", "seed", "round", "key"]
_COLUMNS = ["time", *_ATTRIBUTES, *_METRICS]
_DIGITS = 6


def write_otava(folders: Sequence[Path], output: Path) -> tuple[Path, int, list[LeftOut]]:
    """Write `otava.yaml`, and a CSV file per result with a row per job that ended ok.

    A result is a backend in a group, see `bench.report.frame.columns.GROUP`. Rounds in which the
    machine was busy are left out.

    Args:
        folders: the runs' folders, in any order.
        output: the folder to write into.

    Returns:
        The configuration, the number of series, and the files of the runs that cannot be read.

    Raises:
        RunError: a run is missing or empty, or the folder cannot be written.
    """
    runs = [Run.read(folder) for folder in folders]
    jobs = pd.concat([run.jobs.assign(run=run.folder.name) for run in runs], ignore_index=True)
    jobs = jobs[(jobs["status"] == "ok") & jobs["counts"]]
    jobs = jobs.assign(
        time=jobs["started"], images_per_second=jobs["train_examples"] / jobs["epoch_seconds"]
    )
    jobs = jobs.dropna(subset=[*_METRICS]).sort_values("time", kind="stable")
    tests: dict[str, Any] = {}
    for group, rows in jobs.groupby(GROUP_AND_BACKEND, sort=False, observed=True):
        name = _name(dict(zip(GROUP_AND_BACKEND, group, strict=True)))
        path = output / f"{name}.csv"
        write_atomically(path, comma_separated(rows[_COLUMNS]))
        tests[name] = {
            "type": "csv",
            "file": str(path.resolve()),
            "time_column": "time",
            "attributes": _ATTRIBUTES,
            "metrics": {
                metric: {"column": metric, "direction": direction}
                for metric, direction in _METRICS.items()
            },
            "csv_options": {"delimiter": ",", "quote_char": '"'},
        }
    config = output / "otava.yaml"
    content = msgspec.json.format(msgspec.json.encode({"tests": tests}), indent=1)
    write_atomically(config, content + b"\n")
    return config, len(tests), [file for run in runs for file in run.left_out]


def _name(group: dict[str, Any]) -> str:
    """The name of a result, equal in every export: names, and a digest of the whole group."""
    digest = hashlib.sha256(repr([str(value) for value in group.values()]).encode()).hexdigest()
    names = (group[name] for name in ("workload", "backend", "dataset", "device", "machine"))
    text = ".".join([*map(str, names), digest[:_DIGITS]])
    return re.sub(r"[^A-Za-z0-9._-]+", "-", text)
