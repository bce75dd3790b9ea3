"""What the track costs on top of a loop written by hand in the same framework, and against the tutorial's loop.

`python -m tests.perf.tax BACKEND WORKLOAD OUTPUT`, in the backend's own environment. One process holds all three
contestants, and they take turns of an epoch each, in an order drawn anew; ratios are formed within a turn. CPU time
decides, as it is one framework at one number of threads on a machine that others use too.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
from functools import partial
from pathlib import Path

import numpy as np

from backends.contract import Job
from backends.registry import BACKENDS
from bench.measure import Clock, measure
from specs.initial import epoch_order, initial_weights
from specs.loading import find_workload

PLAIN = {"pytorch": "tests.perf.plain_pytorch", "keras-tensorflow": "tests.perf.plain_keras"}
# Turns, and training examples of an epoch: enough that the interval of the median ratio is a percent or so.
TURNS = {"softmax": 60, "mlp-relu": 40, "cnn": 14}
EXAMPLES = {"softmax": 60_000, "mlp-relu": 60_000, "cnn": 6_400}
RESAMPLES = 10_000


def main(backend: str, workload: str, output: str) -> None:
    """Measure one backend on one workload and write what was measured, raw."""
    # Speed does not depend on what the images show, so these need no data set.
    random = np.random.default_rng(0)
    images = random.random((EXAMPLES[workload], 28, 28, 1), np.float32)
    labels = random.integers(0, 10, EXAMPLES[workload])
    threads = len(os.sched_getaffinity(0))
    spec = find_workload(workload)
    weights = initial_weights(spec, 0)  # the same for all: where units are dead, arithmetic is faster or slower
    plain = importlib.import_module(PLAIN[backend])
    contestants = {
        "track": track(backend, workload, images, labels, threads),
        "plain": plain.plain_loop(workload, weights, images, labels, threads),
        "tutorial": plain.tutorial_loop(workload, weights, images, labels, threads),
    }
    shuffle = np.random.default_rng(1)
    seconds = {name: {"cpu": [], "wall": []} for name in contestants}
    for turn in range(-1, TURNS[workload]):
        order = epoch_order(spec, 0, turn + 1, len(labels), 128)
        names = shuffle.permutation(list(contestants))
        for name in names:
            phase, loss = measure(name, partial(contestants[name], order), lambda: None, Clock())
            assert np.isfinite(loss)
            if turn >= 0:  # the first turn warms up
                seconds[name]["cpu"].append(phase.cpu_seconds)
                seconds[name]["wall"].append(phase.wall_seconds)
    calls = {name: calls_per_step(contestants[name], order, len(order)) for name in contestants}
    ratios = {
        f"track / {other}, {clock}": interval(seconds["track"][clock], seconds[other][clock])
        for other in ("plain", "tutorial")
        for clock in ("cpu", "wall")
    }
    result = {
        "backend": backend,
        "workload": workload,
        "examples": len(labels),
        "threads": threads,
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0],
        "ratios": ratios,
        "verdict": verdict(ratios["track / plain, cpu"]),
        "python_calls_per_step": calls,
        "seconds": seconds,
    }
    Path(output).parent.mkdir(parents=True, exist_ok=True)
    Path(output).write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps({"backend": backend, "workload": workload, **ratios, "calls": calls}))


def track(backend: str, workload: str, images: np.ndarray, labels: np.ndarray, threads: int):
    """The adapter's own `train_epoch`, made as the worker makes it."""
    spec = find_workload(workload)
    job = Job(
        workload=spec,
        dataset="mnist",
        mode="matched",
        backend=backend,
        device="cpu",
        threads=threads,
        seed=0,
        precision="float32",
        compiled=False,
        deterministic=False,
        epochs=1,
        batch_size=128,
        round=0,
    )
    module, _, name = BACKENDS[backend].adapter.partition(":")
    adapter = getattr(importlib.import_module(module), name)(job)
    adapter.set_weights(initial_weights(spec, 0))
    adapter.load(images, labels)
    return adapter.train_epoch


def interval(ours: list[float], theirs: list[float]) -> dict[str, float]:
    """The median of the ratios within turns, and its 95 % interval by bootstrap over turns."""
    ratios = np.array(ours) / np.array(theirs)
    random = np.random.default_rng(0)
    medians = np.median(random.choice(ratios, (RESAMPLES, len(ratios))), axis=1)
    low, high = np.quantile(medians, [0.025, 0.975])
    return {"median": float(np.median(ratios)), "low": float(low), "high": float(high)}


def verdict(ratio: dict[str, float]) -> str:
    """Whether the track costs at most 1 % on top, by the upper bound; or at what precision that is not resolved."""
    if ratio["high"] <= 1.01:
        return "at most 1 % on top"
    if ratio["low"] > 1.01:
        return "more than 1 % on top"
    return f"not resolved at +-{50 * (ratio['high'] - ratio['low']):.1f} %"


def calls_per_step(epoch, order: np.ndarray, examples: int) -> float:
    """Calls of Python and C functions per training step: free of noise."""
    count = 0

    def profile(_frame, event, _argument):
        nonlocal count
        count += event in ("call", "c_call")

    sys.setprofile(profile)
    epoch(order)
    sys.setprofile(None)
    return round(count / -(-examples // 128), 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
