"""One process of `test_overhead.py`: compares three loops in turn, and prints JSON.

The loops are the adapter, the same loop written by hand, and the tutorial's loop. Run it in the
backend's environment:

    python -m tests.perf.overhead BACKEND WORKLOAD QUARTETS TURNS EXAMPLES SEED

The adapter and the loop by hand alternate in slices of about `SLICE_SECONDS`, so that what slows
the machine for longer slows both. A quartet is the slices adapter, by hand, by hand, adapter (every
second one begins by hand): a drift within it changes both sums alike. The tutorial's loop prepares
its data once per epoch, so it takes turns of an epoch with the adapter.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from collections.abc import Callable
from functools import partial

import numpy as np

from backends.contract import Job
from backends.registry import BACKENDS
from bench.worker.clock import Clock, Phase, measure
from specs.initial import epoch_order, initial_weights
from specs.loading import find_workload

Loop = Callable[[np.ndarray], float]
HANDWRITTEN = {"pytorch": "tests.perf.plain_pytorch", "keras-tensorflow": "tests.perf.plain_keras"}
# Workload -> (quartets and turns of a process, training examples of an epoch); a minute each.
TURNS = {"softmax": (48, 4, 60_000), "mlp-relu": (48, 3, 60_000), "cnn": (40, 1, 6_400)}
LOOPS = ("adapter", "by hand", "tutorial")
BATCH, SLICE_SECONDS = 128, 0.2
# PyTorch's threads look for work for 4 to 9 ms after the last step.
_REST_SECONDS = 0.02


def main(backend: str, workload: str, quartets: str, turns: str, examples: str, seed: str) -> None:
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
    makers = {
        "adapter": partial(adapter_loop, backend),
        "by hand": handwritten.plain_loop,
        "tutorial": handwritten.tutorial_loop,
    }
    # The first one may get the better places in memory: another one in every process.
    names = LOOPS[int(seed) % len(LOOPS) :] + LOOPS[: int(seed) % len(LOOPS)]
    loops = {name: makers[name](workload, weights, images, labels, threads) for name in names}
    order = epoch_order(spec, int(seed), 1, len(labels), BATCH)
    steps = _steps_of_a_slice(loops, order)
    load = os.getloadavg()[0]
    slices = _take_slices(loops, order, steps, int(quartets))
    # From the initial weights again, as the tutorial's loop has not trained yet.
    loops["adapter"] = adapter_loop(backend, workload, weights, images, labels, threads)
    seconds = _take_turns(loops, order, int(turns), random)
    calls = {name: calls_per_step(epoch, order, len(order)) for name, epoch in loops.items()}
    measured = {"slices": slices, "steps": steps, "seconds": seconds, "calls": calls}
    print(json.dumps({**measured, "threads": threads, "load_average": load}))


def timed(name: str, loop: Loop, order: np.ndarray) -> Phase:
    """The time of a loop over these examples, begun when the other loop's threads have stopped."""
    time.sleep(_REST_SECONDS)
    phase, loss = measure(name, partial(loop, order), lambda: None, Clock())
    assert np.isfinite(loss)
    return phase


def _steps_of_a_slice(loops: dict[str, Loop], order: np.ndarray) -> int:
    """How many steps of the loop by hand take `SLICE_SECONDS`, at least two; warms both up."""
    most = len(order) // BATCH
    for steps in (2, max(2, most // 4)):
        for name in ("adapter", "by hand"):
            phase = timed(name, loops[name], order[: steps * BATCH])
    return max(2, min(most, round(steps * SLICE_SECONDS / phase.wall_seconds)))


def _take_slices(
    loops: dict[str, Loop], order: np.ndarray, steps: int, quartets: int
) -> dict[str, list[float]]:
    """CPU seconds of two slices of the adapter and two by hand, for each quartet."""
    sums: dict[str, list[float]] = {"adapter": [], "by hand": []}
    size, position = steps * BATCH, 0
    for quartet in range(-1, quartets):
        names = ("adapter", "by hand") if quartet % 2 else ("by hand", "adapter")
        seconds = dict.fromkeys(names, 0.0)
        for pair in (names, names[::-1]):  # both loops of a pair have the same examples
            position = position if position + size <= len(order) else 0
            part = order[position : position + size]
            position += size
            for name in pair:
                seconds[name] += timed(name, loops[name], part).cpu_seconds or 0.0
        if quartet >= 0:  # the first one warms up
            for name, total in seconds.items():
                sums[name].append(total)
    return sums


def _take_turns(
    loops: dict[str, Loop], order: np.ndarray, turns: int, random: np.random.Generator
) -> dict[str, dict[str, list[float]]]:
    """CPU and wall seconds of the epochs of the adapter and of the tutorial's loop."""
    seconds: dict[str, dict[str, list[float]]] = {
        name: {"cpu": [], "wall": []} for name in ("adapter", "tutorial")
    }
    for turn in range(-1, turns):
        for name in random.permutation(list(seconds)):
            phase = timed(name, loops[name], order)
            if turn >= 0:  # the first turn warms up
                seconds[name]["cpu"].append(phase.cpu_seconds or 0.0)
                seconds[name]["wall"].append(phase.wall_seconds)
    return seconds


def adapter_loop(
    backend: str, workload: str, weights, images: np.ndarray, labels: np.ndarray, threads: int
) -> Loop:
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
        batch_size=BATCH,
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
    return round(count / -(-examples // BATCH), 2)


if __name__ == "__main__":
    main(*sys.argv[1:])
