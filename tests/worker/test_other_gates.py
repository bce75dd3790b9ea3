"""The table of what other projects' gates would notice: each part of it, on little data."""

from __future__ import annotations

import numpy as np
import pytest

from backends.reference.oracle import Reference
from specs.shapes import infer_shapes
from tests.support import other_gates
from tests.support.mutants import MUTANTS, NeverTrains, StartsItsAverageAtOne, SumsTheLoss
from tests.support.other_gates import attempt, details, fair, mutants_and_models, summary, trained
from tests.support.timed_mutants import TIMED_MUTANTS


@pytest.fixture
def data(monkeypatch):
    """200 images with a bright row per class, of which an epoch is enough to learn something."""
    monkeypatch.setattr(other_gates, "_EPOCHS_OF_DENSE", 5)
    random = np.random.RandomState(0)
    labels = np.arange(200) % 10
    images = random.uniform(0, 0.2, (200, 28, 28, 1)).astype(np.float32)
    images[np.arange(200), 2 * labels] += 0.8
    return images, labels.astype(np.int32), images, labels.astype(np.int32)


def test_every_mutant_is_tried_once_on_a_model_for_mnist():
    tried = [*mutants_and_models()]
    assert {mutant for mutant, _ in tried} == MUTANTS.keys() | TIMED_MUTANTS.keys()
    assert len(tried) == len({mutant for mutant, _ in tried})
    for name in {model for _, model in tried}:
        workload = fair(name)
        assert (workload.input.shape, infer_shapes(workload)[-1].output) == ((28, 28, 1), (10,))


def test_a_correct_backend_passes_and_one_that_never_trains_is_noticed(data):
    right = trained(Reference, fair("flips"), data)
    assert right.accuracy > 0.5
    trials = [attempt(kind, "flips", right, data) for kind in (Reference, NeverTrains, SumsTheLoss)]
    correct, idle, sums = trials
    assert (correct.same, any(correct.noticed)) == (True, False)
    assert (idle.same, idle.noticed[:2]) == (False, (True, True))
    assert (sums.same, sums.noticed[:3]) == (False, (True, False, False))
    lines = "\n".join((*summary(trials), *details(trials)))
    assert "1e-3 after 4 steps of Adam | 2 | 3 |" in lines
    assert "| NeverTrains | flips |" in lines


def test_a_mutant_that_adam_cannot_train_is_not_held_against_that_gate(data):
    right = trained(Reference, fair("tanh mlp"), data)
    assert attempt(StartsItsAverageAtOne, "tanh mlp", right, data).noticed[0] is None
