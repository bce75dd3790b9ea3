"""Findings on a node besides its times: failures, memory errors, heat, other load.

A finding is a fault (the node should be drained) or a remark. A property that most nodes of the
fleet share is no finding, as it comes from the cluster or the backend.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from statistics import median
from typing import Any, NamedTuple

import pandas as pd

from bench.machine.gpu_state import GpuState
from bench.machine.host import gpu_of
from bench.records.job import Record
from bench.report.form import words
from bench.report.frame.places import rows_of
from bench.statistics.nodes.fingerprints import MOST_OTHERS

# A scheduler, or a user, ends a job in these ways, too.
_BY_OTHERS = ("killed", "timeout")
_NODE_FAILED = "NODE_FAIL"  # Slurm's state
_LEAST_OF_MEDIAN = 0.95  # a clock under load below this share of the fleet's median is low
_OFTEN = 0.2  # of the jobs
_HOTTER = 10  # °C above the fleet's median
_THROTTLED = {
    *("hardware slowdown", "software thermal slowdown", "hardware thermal slowdown"),
    "power brake",
}


class Findings(NamedTuple):
    """The findings on a node, each a few words.

    Attributes:
        faults: the reasons to drain it.
        remarks: other unusual properties.
    """

    faults: list[str]
    remarks: list[str]


def findings_of(fleet: pd.DataFrame, by_key: dict[str, Record]) -> dict[str, Findings]:
    """The findings on each node of a fleet.

    Args:
        fleet: the rows of one fleet, see `nodes.nodes_frame`.
        by_key: the records.
    """
    records = {
        str(node): [by_key[str(key)] for key in keys]
        for node, keys in fleet.groupby("node", sort=False)["key"]
    }
    findings = {node: Findings([], []) for node in records}
    for node, text, is_fault in _unusual_ends(fleet, by_key):
        (findings[node].faults if is_fault else findings[node].remarks).append(text)
    for node, of_node in records.items():
        findings[node].faults.extend(_memory_faults(of_node))
        findings[node].remarks.extend(_remarks(of_node))
    for node, text in _busy(fleet):
        findings[node].remarks.append(text)
    for kind in (_missing, _differences, _slow_clocks):
        for node, text in kind(records):
            findings[node].remarks.append(text)
    return findings


def _unusual_ends(
    fleet: pd.DataFrame, by_key: dict[str, Record]
) -> Iterable[tuple[str, str, bool]]:
    """Ends of jobs that are rare on other nodes: (node, text, whether it is a fault)."""
    ended = [
        _end(by_key[str(key)], status)
        for key, status in zip(fleet["key"], fleet["status"], strict=True)
    ]
    fleet = fleet.assign(end=ended)
    nodes = fleet.groupby("training")["node"].transform("nunique")
    bad = fleet.assign(nodes=nodes)[fleet["end"] != "ok"]
    same = bad.groupby(["training", "end"], observed=True)["node"].transform("nunique")
    unusual = bad[(bad["nodes"] > 1) & (same <= (MOST_OTHERS * bad["nodes"]).clip(lower=1))]
    ends: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in rows_of(unusual[["end", "node", "backend", "label"]]):
        ends[row["node"], row["end"]].append(f"{row['backend']} on {row['label']}")
    for (node, end), names in ends.items():
        which = ", ".join(words.first_of(list(dict.fromkeys(names)), 2))
        is_fault = end == _NODE_FAILED or not (end in _BY_OTHERS or end.isupper())
        yield node, f"{len(names)} {end} ({which})", is_fault


def _end(record: Record, status: str) -> str:
    """How a job ended: Slurm's state in capitals, if Slurm ended it, else the job's status."""
    return (record.slurm.state if record.slurm else "") or status


def _busy(fleet: pd.DataFrame) -> Iterable[tuple[str, str]]:
    """Nodes that were often busy with other work: (node, how often, with an example)."""
    for node, rows in fleet.groupby("node", sort=False):
        busy = rows["disturbed"][rows["disturbed"] != ""]
        if len(busy) >= max(_OFTEN * len(rows), 1):
            yield str(node), f"busy in {len(busy)} of {len(rows)} jobs ({busy.iloc[0]})"


def _missing(records: dict[str, list[Record]]) -> Iterable[tuple[str, str]]:
    """Nodes with fewer jobs than most nodes."""
    usual, nodes = Counter(map(len, records.values())).most_common(1)[0]
    for node, of_node in records.items() if 2 * nodes > len(records) else ():
        if len(of_node) < usual:
            yield node, f"{len(of_node)} jobs (others: {usual})"


def _memory_faults(records: Sequence[Record]) -> Iterable[str]:
    count = _highest(records, lambda gpu: gpu.uncorrected_errors)
    if count:
        yield f"{count} uncorrected memory errors"


def _remarks(records: Sequence[Record]) -> Iterable[str]:
    """The remarks that follow from a node's own records."""
    jobs = len(records)
    heat = Counter(
        reason for r in records if r.gpu for reason in r.gpu.reasons if reason in _THROTTLED
    )
    for reason, count in heat.items():
        yield f"{reason} in {count} of {jobs} jobs"
    if throttled := sum(bool(r.disturbance.gpu_throttled) for r in records) if not heat else 0:
        yield f"GPU throttled in {throttled} of {jobs} jobs"
    if rows := _highest(records, lambda gpu: gpu.remapped_rows):
        yield f"{rows} remapped rows"
    if errors := _highest(records, lambda gpu: gpu.corrected_errors):
        yield f"{errors} corrected memory errors"


def _differences(records: dict[str, list[Record]]) -> Iterable[tuple[str, str]]:
    """Settings in which a node differs from most of its fleet: node and text."""
    of_record: dict[str, Callable[[Record], Hashable]] = {
        "driver": lambda r: gpu.driver if (gpu := gpu_of(r.machine, r.job.device)) else None,
        "power limit": lambda r: r.gpu and words.watts(r.gpu.power_limit_watts),
        "ECC": lambda r: r.gpu and {True: "on", False: "off"}.get(bool(r.gpu.ecc)),
        "PCIe generation": lambda r: r.gpu and r.gpu.pcie_generation,
        "PCIe width": lambda r: r.gpu and r.gpu.pcie_width,
        "active NVLinks": lambda r: r.gpu and r.gpu.nvlinks,
        "memory": lambda r: words.gigabytes(round(r.machine.memory_bytes, -9)),
        "system": lambda r: r.machine.system,
    }
    for name, value in of_record.items():
        of_node = {
            n: Counter(map(value, of_one_node)).most_common(1)[0][0]
            for n, of_one_node in records.items()
        }
        counts = Counter(of_node.values())
        usual, nodes = counts.most_common(1)[0]
        if 2 * nodes <= len(records):  # there is no usual value
            continue
        for node, setting in of_node.items():
            if setting != usual and None not in (setting, usual):
                yield node, f"{name} {setting} (others: {usual})"
    yield from _versions(records)


def _versions(records: dict[str, list[Record]]) -> Iterable[tuple[str, str]]:
    """Versions on a node that differ from most other nodes."""
    having: dict[tuple[str, str, str], set[str]] = defaultdict(set)
    backends: dict[tuple[str, str], set[str]] = defaultdict(set)
    for node, of_node in records.items():
        for record in of_node:
            for package, version in record.made_with.items():
                having[record.job.backend, package, version].add(node)
                backends[record.job.backend, package].add(node)
    unusual: dict[str, dict[str, None]] = defaultdict(dict)
    for (backend, package, version), nodes in having.items():
        if 2 * len(nodes) < len(backends[backend, package]):
            for node in nodes:
                unusual[node][f"{package} {version}"] = None
    for node, names in unusual.items():
        yield node, f"unlike most: {', '.join(words.first_of([*names], 3))}"


def _slow_clocks(records: dict[str, list[Record]]) -> Iterable[tuple[str, str]]:
    """Clocks below the fleet's, and temperatures above the fleet's."""
    clocks = _medians(records, lambda gpu: gpu.sm_mhz)
    heat = _medians(records, lambda gpu: gpu.temperature_celsius)
    usual_clock = median(clocks.values()) if clocks else 0.0
    usual_heat = median(heat.values()) if heat else 0.0
    for node, clock in clocks.items():
        if clock < _LEAST_OF_MEDIAN * usual_clock:
            yield node, f"clock {clock:.0f} MHz (others: {usual_clock:.0f})"
    for node, celsius in heat.items():
        if celsius > usual_heat + _HOTTER:
            yield node, f"{celsius:.0f} °C (others: {usual_heat:.0f})"


def _medians(
    records: dict[str, list[Record]], figure: Callable[[GpuState], float | None]
) -> dict[str, float]:
    """The median of a figure over each node's jobs; nodes without the figure are left out."""
    figures = {
        node: [value for r in of_node if r.gpu and (value := figure(r.gpu)) is not None]
        for node, of_node in records.items()
    }
    return {node: float(median(values)) for node, values in figures.items() if values}


def _highest(records: Sequence[Record], figure: Callable[[GpuState], Any]) -> Any:
    return max((value for r in records if r.gpu and (value := figure(r.gpu))), default=None)
