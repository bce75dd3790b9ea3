"""Compares the adapter with a loop written by hand in the same framework, and with the tutorial's.

Ten fresh processes each hold all three contestants, which take turns of an epoch (see `tax.py`); a
process is a round, and ratios are formed within it. CPU time decides, as it is one framework with
one number of threads on one machine. The number of rounds was fixed beforehand, so the statistics
are for one look.
"""

from __future__ import annotations

import json
import os
import subprocess
from functools import cache
from math import isfinite

import pytest

from backends.registry import BACKENDS
from bench.records.files import PROJECT
from bench.runner.environments import Environments
from bench.statistics.sequential import ONCE
from bench.statistics.timing import compare, precision, process_seconds
from tests.perf.tax import CONTESTANTS, PLAIN, TURNS
from tests.perf.told_clock import CLOCK

PROCESSES = 10
ALLOWED = 1.01


@cache
def measured(backend, workload, processes, turns, examples):
    """What each process measured.

    Per contestant and clock the seconds of its epochs, and the calls per step.
    """
    python = Environments().require(backend)
    environment = {**os.environ, **BACKENDS[backend].variables, "TF_CPP_MIN_LOG_LEVEL": "2"}
    command = [str(python), "-m", "tests.perf.tax", backend, workload, str(turns), str(examples)]
    runs = [
        subprocess.run(
            [*command, str(seed)],
            cwd=PROJECT,
            env=environment,
            check=True,
            capture_output=True,
            text=True,
        )
        for seed in range(processes)
    ]
    return [json.loads(run.stdout.splitlines()[-1]) for run in runs]


def in_words(found):
    """A sentence that compares the interval of a ratio with the allowed one."""
    interval = (
        f"{found.ratio:.3f} ({found.low:.3f} to {found.high:.3f})"
        if found.low
        else f"{found.ratio:.3f}"
    )
    if found.high is not None and found.high < ALLOWED:
        return f"{interval}: the interval lies under {ALLOWED}"
    if found.low is not None and found.low > ALLOWED:
        return f"{interval}: more than {ALLOWED}"
    precise = precision(found.low, found.high)
    why = f"precise to {100 * precise:.1f} %" if isfinite(precise) else "too few processes"
    return f"{interval}: not resolved, {why}"


@pytest.mark.framework
@pytest.mark.benchmark(timer=CLOCK.now)
@pytest.mark.parametrize("contestant", CONTESTANTS)
@pytest.mark.parametrize("workload", TURNS)
@pytest.mark.parametrize("backend", PLAIN)
def test_the_track_costs_at_most_a_hundredth(benchmark, backend, workload, contestant, capsys):
    if not benchmark.enabled and (workload != "softmax" or contestant != "track"):
        pytest.skip("one of them is enough to see that it works")
    size = (PROCESSES, *TURNS[workload]) if benchmark.enabled else (1, 1, 640)
    runs = measured(backend, workload, *size)
    times = {name: [run["seconds"][name]["cpu"] for run in runs] for name in CONTESTANTS}
    benchmark.group = f"tax: {backend}, {workload}, CPU seconds per epoch"
    benchmark.extra_info |= {
        **{
            f"{clock}_seconds": [run["seconds"][contestant][clock] for run in runs]
            for clock in ("cpu", "wall")
        },
        **{name: [run[name] for run in runs] for name in ("load_average", "threads")},
        "calls_per_step": runs[0]["calls"][contestant],
    }
    CLOCK.tell(benchmark, [seconds for process in times[contestant] for seconds in process])
    if contestant == "track":
        for other in ("by hand", "tutorial"):
            found = compare(
                *([process_seconds(epochs) for epochs in times[name]] for name in ("track", other)),
                looks=ONCE,
            )
            benchmark.extra_info[f"track / {other}"] = in_words(found)
            with capsys.disabled():
                print(f"\n{backend} {workload}, CPU time, track / {other}: {in_words(found)}")
            assert other == "tutorial" or found.low is None or found.low <= ALLOWED, in_words(found)
