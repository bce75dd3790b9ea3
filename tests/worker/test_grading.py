"""Losses and accuracies are right, by numbers worked by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from bench.worker.grading import grade


def test_grading_agrees_with_numbers_worked_by_hand():
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0]], np.float32)
    loss, accuracy = grade(logits, np.array([0, 1, 1]), "softmax_cross_entropy")
    # -log of the probabilities 1 / (1 + e^-2), 1 / (1 + e^-1), 1 / (1 + e)
    assert loss == pytest.approx(
        (math.log1p(math.exp(-2)) + math.log1p(math.exp(-1)) + math.log1p(math.e)) / 3
    )
    assert accuracy == pytest.approx(2 / 3)
    # the other class's probability p is the error of both classes, so that an example's mean is p^2
    wrong = [1 / (1 + math.exp(2)), 1 / (1 + math.e), 1 / (1 + math.exp(-1))]
    loss, accuracy = grade(logits, np.array([0, 1, 1]), "mean_squared_error")
    assert loss == pytest.approx(sum(p**2 for p in wrong) / 3)
    assert accuracy == pytest.approx(2 / 3)


def test_grading_counts_every_example():
    with pytest.raises(ValueError, match="2 rows of logits for 3 examples"):
        grade(np.zeros((2, 10), np.float32), np.array([0, 1, 2]), "softmax_cross_entropy")
