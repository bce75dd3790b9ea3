"""Writes a run in the JSON format of pytest-benchmark, for its `compare` and for other readers.

Format: pytest-benchmark 5.3.1, `Metadata.as_dict` and `Stats.fields` in `stats.py`. Quartiles are
computed by pytest-benchmark's method.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Mapping, Sequence
from statistics import fmean, median, stdev
from typing import Any

import msgspec
import pandas as pd

from bench.machine.host import Machine
from bench.records.job import Record
from bench.report.frame.columns import GROUP, GROUP_AND_BACKEND
from bench.report.run import Run

_VERSION = "5.3.1"
# Records have no commit.
_COMMIT = {
    "id": "unknown",
    "time": None,
    "author_time": None,
    "dirty": None,
    "project": "framework-bench",
    "branch": "(unknown)",
}
_WHAT = "wall seconds of training epochs of jobs that ended ok, without each job's first epoch"


def pytest_benchmark(run: Run) -> bytes:
    """The run as JSON: a benchmark per backend of a group, whose rounds are its steady epochs.

    A backend without a steady epoch is left out, as pytest-benchmark leaves out failed benchmarks.
    """
    by_key = {record.key: record for record in run.records}
    steady = run.epochs[run.epochs["steady"] & (run.epochs["status"] == "ok")]
    machines = list(dict.fromkeys(record.machine for record in run.records))
    content = {
        "machine_info": _machine_info(machines),
        "commit_info": _COMMIT,
        "benchmarks": [
            _benchmark(rows, by_key[rows["key"].iloc[0]], several=len(machines) > 1)
            for _, rows in steady.groupby(GROUP_AND_BACKEND, sort=False)
        ],
        "datetime": max(record.started for record in run.records).replace("Z", "+00:00"),
        "version": _VERSION,
    }
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def _benchmark(rows: pd.DataFrame, record: Record, *, several: bool) -> dict[str, Any]:
    """The benchmark of one backend of a group.

    Its name is the same in every run of one machine, so that runs can be compared.
    """
    group = {name: rows[name].iloc[0] for name in GROUP}
    backend, workload = rows["backend"].iloc[0], group["workload"]
    place, training = place_and_training(group, several=several)
    extra = {
        **{
            name: value.item() if hasattr(value, "item") else value for name, value in group.items()
        },
        "backend": backend,
        "mode": record.job.mode,
        "device_name": rows["device_name"].iloc[0],
        "seeds": sorted(set(rows["seed"].tolist())),
        "rounds": sorted(set(rows["round"].tolist())),
        "jobs": rows["key"].nunique(),
        "versions": record.versions,
        "what": _WHAT,
    }
    return {
        "group": f"{workload}, {place}",
        "name": f"{workload}[{backend}]",
        "fullname": f"{place}/{training}/{workload}[{backend}]",
        "params": {"backend": backend},
        "param": backend,
        "extra_info": extra,
        "options": {"timer": "perf_counter"},
        "stats": _stats((rows["train_wall_seconds"] / rows["trained_epochs"]).tolist()),
    }


def place_and_training(group: Mapping[str, Any], *, several: bool) -> tuple[str, str]:
    """A group's place, and its training besides the workload; equal in every run of one machine.

    Args:
        group: the group's columns, see `bench.report.frame.columns.GROUP`.
        several: whether the run has several machines; if so, the place names the machine.
    """
    place = (
        f"{group['dataset']} {group['data_checksum'][:8]}, {group['device']}, {group['threads']}"
        " threads" + (f", {group['machine']}" if several else "")
    )
    return (
        place,
        f"{group['epochs']} epochs, batch {group['batch_size']}, spec {group['spec']}",
    )


def _machine_info(machines: Sequence[Machine]) -> dict[str, Any]:
    """The machine, with pytest-benchmark's keys where they exist.

    For several machines: all names, and the complete data of all machines.
    """
    if len(machines) > 1:
        return {"node": ", ".join(machine.name for machine in machines), "machines": machines}
    [machine] = machines
    system, _, release = machine.system.partition(" ")
    return {
        "node": machine.name,
        "system": system,
        "release": release,
        "cpu": {"brand_raw": machine.cpu, "count": machine.logical_cpus},
        "allowed_cpus": machine.allowed_cpus,
        "memory_bytes": machine.memory_bytes,
        "gpus": machine.gpus,
    }


def _stats(seconds: list[float]) -> dict[str, Any]:
    data, mean = sorted(seconds), fmean(seconds)
    spread = stdev(data) if len(data) > 1 else 0
    q1, q3 = _quartile(data), _quartile(data[::-1])
    low, high = q1 - 1.5 * (q3 - q1), q3 + 1.5 * (q3 - q1)  # Tukey's fences
    outliers = (
        sum(abs(value - mean) > spread for value in data),
        sum(not low <= value <= high for value in data),
    )
    return {
        "min": data[0],
        "max": data[-1],
        "mean": mean,
        "stddev": spread,
        "median": median(data),
        "iqr": q3 - q1,
        "q1": q1,
        "q3": q3,
        "stddev_outliers": outliers[0],
        "iqr_outliers": outliers[1],
        "outliers": f"{outliers[0]};{outliers[1]}",
        "ld15iqr": data[bisect_left(data, low)],
        "hd15iqr": data[bisect_right(data, high) - 1],
        "rounds": len(data),
        "ops": len(data) / sum(data),
        "total": sum(data),
        "iterations": 1,
        "data": seconds,
    }


def _quartile(data: Sequence[float]) -> float:
    """The first quartile of sorted data.

    For an even number of values it is the median of the first half; for an odd number a weighted
    mean of two neighbours.
    """
    index, remainder = divmod(len(data), 4)
    if len(data) == 1:
        return data[0]
    if remainder == 1:
        return 0.25 * data[index - 1] + 0.75 * data[index]
    if remainder == 3:  # noqa: PLR2004 - the largest remainder of 4
        return 0.75 * data[index] + 0.25 * data[index + 1]
    return median(data[: len(data) // 2])
