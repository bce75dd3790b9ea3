"""Shapes, parameters and arithmetic, against numbers worked by hand."""

from __future__ import annotations

import typing

import numpy as np
import pytest
from msgspec.structs import replace

from specs.initial import dropout_masks, epoch_order, initial_weights
from specs.loading import find_workload
from specs.model import Initializer
from specs.proof import MODELS
from specs.shapes import infer_shapes, same_padding

PINNED_ORDER = [7, 3, 5, 0, 1, 4, 6, 8, 9, 2]
PINNED_WEIGHTS = [-0.003594856, -0.037119407, -0.083066583]


def test_cnn_has_the_shapes_and_parameters_worked_by_hand():
    layers = infer_shapes(find_workload("cnn"))
    expected = [(26, 26, 32), (24, 24, 32), (12, 12, 32), (12, 12, 32), (4608,), (256,), (256,), (10,)]
    assert [layer.output for layer in layers] == expected
    assert [layer.parameter_count for layer in layers] == [320, 9248, 0, 0, 0, 4608 * 256 + 256, 0, 2570]
    assert layers[1].parameters == {"1.kernel": (3, 3, 32, 32), "1.bias": (32,)}


def test_same_padding_and_strides_give_the_sizes_worked_by_hand():
    layers = infer_shapes(MODELS["strides, same, adam after"])
    # 7x6: ceil(7 / 2) = 4 and ceil(6 / 2) = 3; then 2x2 valid, stride 1x2: 4 - 1 = 3 and (3 - 2) // 2 + 1 = 1
    assert [layer.output for layer in layers[:3]] == [(4, 3, 4), (3, 1, 3), (1, 1, 3)]
    # zeros before and after: (ceil(n / stride) - 1) stride + kernel - n, the odd one after
    assert [same_padding(*size) for size in ((7, 3, 2), (6, 3, 2), (5, 2, 1), (28, 5, 1), (4, 1, 3))] == [
        (1, 1),
        (0, 1),
        (0, 1),
        (2, 2),
        (0, 0),
    ]


def test_lenet_of_1998_has_its_61706_parameters():
    layers = infer_shapes(find_workload("lenet5-1998"))
    assert sum(layer.parameter_count for layer in layers) == 61_706
    assert [layer.output for layer in layers[:5]] == [(28, 28, 6), (14, 14, 6), (10, 10, 16), (5, 5, 16), (400,)]


def test_batch_norm_learns_two_numbers_per_channel_and_keeps_two_more():
    layer = infer_shapes(MODELS["batch norm, nesterov"])[1]
    assert layer.parameters == {"1.scale": (3,), "1.shift": (3,)}
    assert layer.state == {"1.mean": (3,), "1.variance": (3,)}
    assert (layer.parameter_count, layer.forward_flops) == (6, 0)
    weights = initial_weights(MODELS["batch norm, nesterov"], 0)
    assert [weights[f"1.{name}"].tolist() for name in ("scale", "shift", "mean", "variance")] == [
        [1, 1, 1],
        [0, 0, 0],
        [0, 0, 0],
        [1, 1, 1],
    ]


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
    weights = initial_weights(replace(mlp, recipe=replace(mlp.recipe, initializer=initializer)), seed=0)["1.kernel"]
    # 156,800 draws know a standard deviation to 0.2 %; five of them
    assert weights.std() == pytest.approx(DEVIATIONS[initializer], rel=0.01)
    assert abs(weights.mean()) <= 5 * DEVIATIONS[initializer] / np.sqrt(weights.size)
    bounded = np.abs(weights).max() <= 1.75 * DEVIATIONS[initializer]  # sqrt(3), where a normal one reaches 4 or 5
    assert bounded == ("normal" not in initializer)


def test_flops_are_two_per_multiplication_and_three_times_that_in_training_but_for_the_first_layer():
    layers = infer_shapes(find_workload("cnn"))
    assert layers[0].forward_flops == 2 * 26 * 26 * 32 * 9
    assert layers[0].training_flops == 2 * layers[0].forward_flops
    assert layers[1].forward_flops == 2 * 24 * 24 * 32 * 9 * 32
    assert layers[1].training_flops == 3 * layers[1].forward_flops
    assert layers[2].forward_flops == 0
    assert layers[5].forward_bytes == 4 * (4608 + 256)


def test_weights_are_glorot_uniform_with_zero_biases_and_the_same_for_the_same_seed():
    weights = initial_weights(find_workload("cnn"), seed=3)
    assert list(weights) == ["0.kernel", "0.bias", "1.kernel", "1.bias", "5.kernel", "5.bias", "7.kernel", "7.bias"]
    for name, fans in {"0.kernel": 9 * (1 + 32), "1.kernel": 9 * (32 + 32), "5.kernel": 4608 + 256}.items():
        limit = np.sqrt(6 / fans)
        assert np.abs(weights[name]).max() <= limit
        # A uniform variable has the standard deviation limit / sqrt(3); 288 draws know it to 10 %.
        assert abs(weights[name].std() / (limit / np.sqrt(3)) - 1) < 0.1
        assert weights[name].dtype == np.float32
    assert all(not value.any() for name, value in weights.items() if name.endswith("bias"))
    again, other = initial_weights(find_workload("cnn"), seed=3), initial_weights(find_workload("cnn"), seed=4)
    assert np.array_equal(weights["5.kernel"], again["5.kernel"])
    assert not np.array_equal(weights["5.kernel"], other["5.kernel"])


def test_random_draws_are_the_same_on_every_numpy():
    """Pinned: workers of different frameworks run different NumPy versions and must start from the same numbers."""
    softmax = find_workload("softmax")
    assert epoch_order(softmax, 0, 0, 10, 4).tolist() == PINNED_ORDER
    assert np.allclose(initial_weights(softmax, 0)["1.kernel"][0, :3], PINNED_WEIGHTS, rtol=0, atol=1e-9)


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
