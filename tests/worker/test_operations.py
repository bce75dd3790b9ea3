"""The operations that limits are measured with: right results, and numbers in range."""

from __future__ import annotations

import numpy as np
import pytest

from backends.reference.engine import ReferenceEngine
from bench.worker import operations
from bench.worker.limits import MOST_REPEATS
from tests.support.jobs import make_job


@pytest.mark.parametrize("name", operations.OPERATIONS)
def test_a_right_result_is_off_by_rounding_alone_and_a_step_less_by_all(name):
    engine = ReferenceEngine(make_job())
    operation = operations.OPERATIONS[name]
    trial = operation.make(engine, operation.sizes[1])
    before = engine.put(trial.start)
    kept, x = engine.read(before), before
    for _ in range(3):
        x = trial.step(x)
    assert trial.off(kept, engine.read(x), 3) < 1e-5
    assert trial.off(kept, engine.read(x), 4) > 0.9
    # The result is not a number, which passes no tolerance.
    assert trial.off(kept, np.full_like(kept, np.nan), 3) != 0


@pytest.mark.parametrize(
    ("name", "size"), [("matmul", 128), ("convolution", 8), ("convolution", 16)]
)
def test_numbers_stay_far_from_the_ends_of_float32_over_all_steps_of_a_size(name, size):
    """The smallest sizes are tested: they grow fastest, and only they are repeated so often."""
    engine = ReferenceEngine(make_job())
    operation = operations.OPERATIONS[name]
    trial = operation.make(engine, size)
    x = engine.put(trial.start[:2] if name == "convolution" else trial.start)
    for _ in range(2 + operation.longest_chain * MOST_REPEATS):
        x = trial.step(x)
    assert 1e-25 < np.abs(x).max() < 1e25
