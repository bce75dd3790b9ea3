"""Weights, orders and masks: drawn from their distributions, and the same on every NumPy."""

from __future__ import annotations

import typing

import numpy as np
import pytest
from msgspec.structs import replace

from specs.initial import dropout_masks, epoch_order, initial_weights
from specs.loading import find_workload
from specs.model import Initializer

PINNED_ORDER = [7, 3, 5, 0, 1, 4, 6, 8, 9, 2]
PINNED_WEIGHTS = [-0.003594856, -0.037119407, -0.083066583]
# Standard deviations for 784 inputs and 200 outputs; a uniform variable's is its limit / sqrt(3).
DEVIATIONS = {
    "glorot_uniform": np.sqrt(6 / 984 / 3),
    "glorot_normal": np.sqrt(2 / 984),
    "he_uniform": np.sqrt(6 / 784 / 3),
    "he_normal": np.sqrt(2 / 784),
    "lecun_normal": np.sqrt(1 / 784),
    "uniform": 0.05 / np.sqrt(3),
    "zeros": 0.0,
}


def test_every_initializer_is_checked():
    assert set(DEVIATIONS) == set(typing.get_args(Initializer))


@pytest.mark.parametrize("initializer", DEVIATIONS)
def test_initializer_draws_from_its_distribution(initializer):
    mlp = find_workload("mlp-relu")
    weights = initial_weights(
        replace(mlp, recipe=replace(mlp.recipe, initializer=initializer)), seed=0
    )["1.kernel"]
    # 156,800 draws know a standard deviation to 0.2 %; five of them
    assert weights.std() == pytest.approx(DEVIATIONS[initializer], rel=0.01)
    assert abs(weights.mean()) <= 5 * DEVIATIONS[initializer] / np.sqrt(weights.size)
    # A uniform one ends at sqrt(3) deviations, a normal one reaches 4 or 5.
    bounded = np.abs(weights).max() <= 1.75 * DEVIATIONS[initializer]
    assert bounded == ("normal" not in initializer)


def test_weights_are_glorot_uniform_with_zero_biases_and_the_same_for_the_same_seed():
    weights = initial_weights(find_workload("cnn"), seed=3)
    assert list(weights) == [
        "0.kernel",
        "0.bias",
        "1.kernel",
        "1.bias",
        "5.kernel",
        "5.bias",
        "7.kernel",
        "7.bias",
    ]
    for name, fans in {
        "0.kernel": 9 * (1 + 32),
        "1.kernel": 9 * (32 + 32),
        "5.kernel": 4608 + 256,
    }.items():
        limit = np.sqrt(6 / fans)
        assert np.abs(weights[name]).max() <= limit
        # A uniform variable has the standard deviation limit / sqrt(3); 288 draws know it to 10 %.
        assert abs(weights[name].std() / (limit / np.sqrt(3)) - 1) < 0.1
        assert weights[name].dtype == np.float32
    assert all(not value.any() for name, value in weights.items() if name.endswith("bias"))
    again, other = (
        initial_weights(find_workload("cnn"), seed=3),
        initial_weights(find_workload("cnn"), seed=4),
    )
    assert np.array_equal(weights["5.kernel"], again["5.kernel"])
    assert not np.array_equal(weights["5.kernel"], other["5.kernel"])


def test_random_draws_are_the_same_on_every_numpy():
    """The numbers are pinned.

    Workers of different frameworks have different NumPy versions and must start from the same
    numbers.
    """
    softmax = find_workload("softmax")
    assert epoch_order(softmax, 0, 0, 10, 4).tolist() == PINNED_ORDER
    assert np.allclose(
        initial_weights(softmax, 0)["1.kernel"][0, :3], PINNED_WEIGHTS, rtol=0, atol=1e-9
    )


def test_order_is_a_fresh_permutation_per_epoch_and_cut_to_whole_batches_only_if_so_said():
    softmax = find_workload("softmax")
    first, second = (epoch_order(softmax, 0, epoch, 1000, 128) for epoch in (0, 1))
    assert sorted(first) == list(range(1000))
    assert first.tolist() != second.tolist()
    dropping = replace(softmax, recipe=replace(softmax.recipe, last_partial_batch="drop"))
    assert epoch_order(dropping, 0, 0, 1000, 128).tolist() == first[:896].tolist()


def test_masks_keep_the_share_that_the_rate_says():
    masks = dropout_masks(find_workload("cnn"), 0, 0, 50)
    assert [mask.shape for mask in masks] == [(50, 12, 12, 32), (50, 256)]
    for mask in masks:
        # 12,800 draws at 3/4: standard error 0.4 points; five of them
        assert abs(mask.mean() - 0.75) < 0.02
