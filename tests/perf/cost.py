"""What the track itself costs: the command's answer, a job's overhead beyond its phases, the parent's idleness.

`python -m tests.perf.cost OUTPUT`, in the bench's own environment.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

from rich.console import Console

from bench.data import materialise
from bench.environments import Environments
from bench.machine import this_machine
from bench.measure import cpu_seconds, monotonic_seconds
from bench.plan import Contest, Options, make_jobs
from bench.process import Limits
from bench.progress import ProgressDisplay
from bench.runner import make_tasks, run_tasks
from bench.sources import Places
from specs.loading import find_suite, find_workload

REPEATS = 5


def command_cpu_seconds(*arguments: str) -> float:
    """CPU time of one run of the command."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "bench", *arguments], stdout=subprocess.DEVNULL, check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def jobs() -> dict[str, dict[str, float]]:
    """Per backend: a softmax job's CPU time outside its phases, and the parent's share of one core while it ran."""
    workload, machine = find_workload("softmax"), this_machine()
    found = Environments()
    with tempfile.TemporaryDirectory() as folder:
        directory = os.environ.get("FRAMEWORK_BENCH_DATA")
        places = Places(directory=Path(directory) if directory else None, cache=Path(folder) / "cache")
        data = materialise("mnist" if directory else "mnist-5k", workload.input, places)
        contest = Contest(workload=workload, data=data, epochs=20)
        options = Options(backends=("keras-tensorflow", "pytorch"), devices=("cpu",), threads=2, rounds=REPEATS)
        limits = Limits(timeout_seconds=600, train_evaluated=10_000)
        tasks = make_tasks(make_jobs([contest], options, find_suite("quick")), found, machine, limits)
        result: dict[str, dict[str, float]] = {}
        for backend in options.backends:
            mine = [task for task in tasks if task.job.backend == backend]
            cpu, wall = cpu_seconds(), monotonic_seconds()
            with ProgressDisplay(mine, Console(stderr=True, force_terminal=True)) as display:
                records = run_tasks(mine, Path(folder) / backend, machine, limits, display, retry=False)
            share = (cpu_seconds() - cpu) / (monotonic_seconds() - wall)
            outside = []
            for record in records:
                assert record.status == "ok", record.reason
                phases = [*record.startup.phases]
                phases += [phase for epoch in record.epochs for phase in (epoch.training, epoch.prediction)]
                # Evaluating 10,000 training examples is the framework's work, as predicting the 10,000 test images is.
                phases += [epoch.prediction for epoch in record.epochs]
                outside.append(record.cpu_seconds - sum(phase.cpu_seconds for phase in phases))
            result[backend] = {"cpu_seconds_outside_phases": median(outside), "parent_share_of_a_core": share}
    return result


def main(output: str) -> None:
    """Measure and write."""
    result = {
        "command_cpu_seconds": {
            "bench --help": median(command_cpu_seconds("--help") for _ in range(REPEATS)),
            "bench list": median(command_cpu_seconds("list") for _ in range(REPEATS)),
        },
        "softmax job of 20 epochs": jobs(),
    }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main(*sys.argv[1:])
