"""One process of `test_overhead.py`: runs epochs of three loops in turn, and prints JSON.

The loops are the adapter, the same loop written by hand, and the tutorial's loop. Run it in the
backend's environment: `python -m tests.perf.overhead BACKEND WORKLOAD TURNS EXAMPLES SEED`.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from functools import partial

import numpy as np

from backends.contract import Job
from backends.registry import BACKENDS
from bench.worker.clock import Clock, measure
from specs.initial import epoch_order, initial_weights
from specs.loading import find_workload

HANDWRITTEN = {"pytorch": "tests.perf.plain_pytorch", "keras-tensorflow": "tests.perf.plain_keras"}
# Workload -> (turns of a process, training examples of an epoch); ten to thirty seconds each.
TURNS = {"softmax": (6, 60_000), "mlp-relu": (4, 60_000), "cnn": (2, 6_400)}
LOOPS = ("adapter", "by hand", "tutorial")


def main(backend: str, workload: str, turns: str, examples: str, seed: str) -> None:
    """Measure one backend on one workload, and print the raw measurements."""
    # Random images, as the speed does not depend on the images.
    random = np.random.default_rng(int(seed))
    images = random.random((int(examples), 28, 28, 1), np.float32)
    labels = random.integers(0, 10, int(examples))
    threads = len(os.sched_getaffinity(0))
    spec = find_workload(workload)
    # All loops have the same weights, as dead units change the speed of arithmetic.
    weights = initial_weights(spec, int(seed))
    handwritten = importlib.import_module(HANDWRITTEN[backend])
    loops = {
        "adapter": adapter_loop(backend, workload, weights, images, labels, threads),
        "by hand": handwritten.plain_loop(workload, weights, images, labels, threads),
        "tutorial": handwritten.tutorial_loop(workload, weights, images, labels, threads),
    }
    seconds = {name: {"cpu": [], "wall": []} for name in loops}
    for turn in range(-1, int(turns)):
        order = epoch_order(spec, int(seed), turn + 1, len(labels), 128)
        for name in random.permutation(LOOPS):
            phase, loss = measure(name, partial(loops[name], order), lambda: None, Clock())
            assert np.isfinite(loss)
            if turn >= 0:  # the first turn warms up
                seconds[name]["cpu"].append(phase.cpu_seconds)
                seconds[name]["wall"].append(phase.wall_seconds)
    calls = {name: calls_per_step(epoch, order, len(order)) for name, epoch in loops.items()}
    load = os.getloadavg()[0]
    print(
        json.dumps({"seconds": seconds, "calls": calls, "threads": threads, "load_average": load})
    )


def adapter_loop(
    backend: str, workload: str, weights, images: np.ndarray, labels: np.ndarray, threads: int
):
    """The adapter's `train_epoch`, as the worker calls it."""
    job = Job(
        workload=find_workload(workload),
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
    adapter.set_weights(weights)
    adapter.load(images, labels)
    return adapter.train_epoch


def calls_per_step(epoch, order: np.ndarray, examples: int) -> float:
    """The number of calls of Python and C functions per training step; it has no noise."""
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
