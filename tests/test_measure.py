"""The clock, the machine's description, and the grading."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.machine import load_average, this_machine
from bench.measure import Clock, measure
from bench.worker import grade


def test_a_phase_starts_after_one_sync_and_ends_after_another():
    events, wall, cpu = [], iter([10.0, 12.5]), iter([1.0, 4.0])
    clock = Clock(
        wall=lambda: events.append("wall") or next(wall),
        cpu=lambda: events.append("cpu") or next(cpu),
    )
    phase, result = measure("train", lambda: events.append("work") or 7, lambda: events.append("sync"), clock)
    assert events == ["sync", "cpu", "wall", "work", "sync", "wall", "cpu"]
    assert (phase.name, phase.wall_seconds, phase.cpu_seconds, result) == ("train", 2.5, 3.0, 7)


def test_the_machine_is_described():
    machine = this_machine()
    assert machine.name
    assert machine.cpu
    assert 1 <= machine.allowed_cpus <= machine.logical_cpus
    assert machine.memory_bytes > 1e8
    assert load_average() is None or load_average() >= 0


def test_grading_agrees_with_numbers_worked_by_hand():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    loss, accuracy = grade(logits, np.array([0, 1, 1]), "softmax_cross_entropy")
    # -log of the probabilities 1 / (1 + e^-2), 1 / (1 + e^-1), 1 / (1 + e)
    assert loss == pytest.approx((math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)) + math.log1p(math.e)) / 3)
    assert accuracy == pytest.approx(2 / 3)
    # the other class's probability p is the error of both classes, so that an example's mean is p^2
    wrong = [1 / (1 + math.exp(2)), 1 / (1 + math.e), 1 / (1 + math.exp(-1))]
    loss, accuracy = grade(logits, np.array([0, 1, 1]), "mean_squared_error")
    assert loss == pytest.approx(sum(p**2 for p in wrong) / 3)
    assert accuracy == pytest.approx(2 / 3)


def test_grading_counts_every_example():
    with pytest.raises(ValueError, match="2 rows of logits for 3 examples"):
        grade(np.zeros((2, 10), np.float32), np.array([0, 1, 2]), "softmax_cross_entropy")


@pytest.mark.gpu
def test_every_gpu_has_an_identity():
    gpus = this_machine().gpus
    if not gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    assert all(gpu.uuid.startswith("GPU-") and gpu.memory_bytes > 1e9 for gpu in gpus)
