"""Compares the adapter with a loop written by hand in the same framework, and with the tutorial's.

Ten fresh processes run all three loops (see `overhead.py`). A process is a round, and ratios are
formed within it: by hand, the median over its quartets. CPU time decides, as framework, threads and
machine are the same. The number of rounds was fixed in advance, so the statistics are for one look.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from math import isfinite
from types import SimpleNamespace

import numpy as np
import pytest

from backends.registry import BACKENDS
from bench.records.files import PROJECT
from bench.runner.environments import Environments
from bench.statistics.sequential import ONCE
from bench.statistics.timing import compare, precision, process_seconds
from tests.perf import overhead
from tests.perf.overhead import HANDWRITTEN, LOOPS, TURNS
from tests.perf.replay_clock import CLOCK

PROCESSES = 10
MOST_RATIO = 1.01


@cache
def measured(backend, workload, processes, quartets, turns, examples):
    """What `overhead.main` prints in each process."""
    python = Environments().require(backend)
    environment = {**os.environ, **BACKENDS[backend].variables, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(python), "-m", "tests.perf.overhead", backend, workload]
    outputs = [
        subprocess.run(
            [*command, str(quartets), str(turns), str(examples), str(seed)],
            cwd=PROJECT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        ).stdout
        for seed in range(processes)
    ]
    return [json.loads(output.splitlines()[-1]) for output in outputs]


def describe(comparison):
    """The interval of a ratio, and whether it is below `MOST_RATIO`."""
    ratio, low, high = comparison.ratio, comparison.low, comparison.high
    text = f"{ratio:.3f} ({low:.3f} to {high:.3f})" if low else f"{ratio:.3f}"
    if high is not None and high < MOST_RATIO:
        return f"{text}: below {MOST_RATIO}"
    if low is not None and low > MOST_RATIO:
        return f"{text}: above {MOST_RATIO}"
    half_width = precision(low, high)
    reason = f"precise to {100 * half_width:.1f} %" if isfinite(half_width) else "too few processes"
    return f"{text}: undecided, {reason}"


@pytest.mark.framework
@pytest.mark.benchmark(timer=CLOCK.now)
@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("workload", TURNS)
@pytest.mark.parametrize("backend", HANDWRITTEN)
def test_the_adapter_costs_at_most_one_percent(benchmark, backend, workload, loop, capsys):
    if not benchmark.enabled and (workload != "softmax" or loop != "adapter"):
        pytest.skip("one case shows that it works")
    size = (PROCESSES, *TURNS[workload]) if benchmark.enabled else (1, 2, 1, 640)
    runs = measured(backend, workload, *size)
    # The loop by hand took slices only, and they are set beside the adapter's in `extra_info`.
    of_loop = [run["seconds"].get(loop, {"cpu": run["slices"].get(loop)}) for run in runs]
    what = "two slices" if loop == "by hand" else "an epoch"
    benchmark.group = f"overhead: {backend}, {workload}, CPU seconds of {what}"
    benchmark.extra_info |= {
        "cpu_seconds": [seconds["cpu"] for seconds in of_loop],
        "wall_seconds": [seconds.get("wall") for seconds in of_loop],
        "quartets_cpu_seconds": [run["slices"].get(loop) for run in runs],
        "steps_per_slice": [run["steps"] for run in runs],
        "load_average": [run["load_average"] for run in runs],
        "threads": [run["threads"] for run in runs],
        "calls_per_step": runs[0]["calls"][loop],
    }
    CLOCK.replay(benchmark, [second for seconds in of_loop for second in seconds["cpu"]])
    if loop != "adapter":
        return
    for other, (adapter, others) in {
        "by hand, CPU time": _by_hand(runs),
        "tutorial, CPU time": _by_tutorial(runs, "cpu"),
        "tutorial, wall time": _by_tutorial(runs, "wall"),
    }.items():
        comparison = compare(adapter, others, looks=ONCE)
        text = describe(comparison)
        benchmark.extra_info[f"adapter / {other}"] = text
        with capsys.disabled():
            print(f"\n{backend} {workload}, adapter / {other}: {text}")
        assert (
            not other.startswith("by hand")
            or comparison.low is None
            or comparison.low <= MOST_RATIO
        ), text


def _by_hand(runs):
    """The adapter's time in units of the loop by hand, process by process, and ones."""
    quotients = [
        np.array(run["slices"]["adapter"]) / np.array(run["slices"]["by hand"]) for run in runs
    ]
    return [float(np.median(quotient)) for quotient in quotients], [1.0] * len(runs)


def _by_tutorial(runs, kind):
    """The adapter's and the tutorial's time of an epoch, process by process."""
    return tuple(
        [process_seconds(run["seconds"][name][kind]) for run in runs]
        for name in ("adapter", "tutorial")
    )


def test_a_loop_that_costs_more_is_seen_by_slices(monkeypatch):
    """With loops whose CPU time is known, and a machine that becomes slower all the time."""
    cost, elapsed = {"adapter": 1.03, "by hand": 1.0}, [0.0]

    def timed(name, loop, order):
        seconds = cost[name] * len(order) * (1 + elapsed[0])
        elapsed[0] += 0.01
        return SimpleNamespace(cpu_seconds=seconds)

    monkeypatch.setattr(overhead, "timed", timed)
    order = np.arange(10 * overhead.BATCH)
    slices = overhead._take_slices(dict.fromkeys(cost), order, 2, 8)
    assert [len(sums) for sums in slices.values()] == [8, 8]
    ratios, ones = _by_hand([{"slices": slices}] * 3)
    assert ratios == [pytest.approx(1.03, abs=0.002)] * 3
    assert ones == [1.0] * 3
