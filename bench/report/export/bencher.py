"""Writes a run in the Bencher Metric Format (BMF), for `bencher run --adapter json --file FILE`.

Format: https://bencher.dev/docs/reference/bencher-metric-format (read in November 2026): benchmark
-> measure -> `value`, and optionally `lower_value` and `upper_value`. Bencher knows the measures
`latency` in nanoseconds and `throughput` in operations per second, and creates others at first use.
"""

from __future__ import annotations

from math import isfinite
from typing import Any

import msgspec

from bench.report.export.pytest_benchmark import place_and_training
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run

_NANOSECONDS = 1e9
# Measure -> its column of the summary; `latency` and `throughput` follow from the epoch time.
_OTHERS = {
    "test-accuracy": "test_accuracy",
    "seconds-to-target": "seconds_to_target",
    "epoch-joules": "epoch_energy_joules",
    "peak-memory-bytes": "train_peak_rss_bytes",
}


def bencher(run: Run) -> bytes:
    """The run as JSON: a benchmark per backend of a group, with the interval of its time (95 %).

    A backend whose jobs did not end ok, or disagree, is left out.
    """
    several = run.summary["machine"].nunique() > 1
    content = {}
    for row in rows_of(run.ok):
        place, training = place_and_training(row, several=several)
        name = f"{place}/{training}/{row['workload']}[{row['backend']}]"
        content[name] = _measures(row)
    return msgspec.json.format(msgspec.json.encode(content), indent=1) + b"\n"


def _measures(row: Row) -> dict[str, dict[str, float]]:
    seconds = row["epoch_seconds"]
    low, high = row["epoch_seconds_sure_low"], row["epoch_seconds_sure_high"]
    examples = row["train_examples"]
    metrics = {
        "latency": _metric(*(_NANOSECONDS * value for value in (seconds, low, high))),
        "throughput": _metric(*(examples / value for value in (seconds, high, low))),
        **{measure: _metric(row[column]) for measure, column in _OTHERS.items()},
    }
    return {name: metric for name, metric in metrics.items() if metric}


def _metric(value: Any, low: Any = None, high: Any = None) -> dict[str, float]:
    """A metric; empty without a value."""
    figures = {"value": value, "lower_value": low, "upper_value": high}
    finite = {name: float(x) for name, x in figures.items() if x is not None and isfinite(x)}
    return finite if "value" in finite else {}
