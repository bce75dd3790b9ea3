"""Shapes, parameters and operations, worked by hand."""

from __future__ import annotations

from math import ceil, prod

import pytest

from bench.worker.verification.models import MODELS
from specs.initial import initial_weights
from specs.loading import find_suite, find_workload
from specs.shapes import infer_shapes, same_padding


def test_cnn_has_the_shapes_and_parameters_worked_by_hand():
    layers = infer_shapes(find_workload("cnn"))
    expected = [
        (26, 26, 32),
        (24, 24, 32),
        (12, 12, 32),
        (12, 12, 32),
        (4608,),
        (256,),
        (256,),
        (10,),
    ]
    assert [layer.output for layer in layers] == expected
    assert [layer.parameter_count for layer in layers] == [
        320,
        9248,
        0,
        0,
        0,
        4608 * 256 + 256,
        0,
        2570,
    ]
    assert layers[1].parameters == {"1.kernel": (3, 3, 32, 32), "1.bias": (32,)}


def test_same_padding_and_strides_give_the_sizes_worked_by_hand():
    layers = infer_shapes(MODELS["strides, same, adam after"])
    # 7x6: ceil(7 / 2) = 4 and ceil(6 / 2) = 3; then 2x2 valid, stride 1x2: 4 - 1 = 3 and (3 - 2) //
    # 2 + 1 = 1
    assert [layer.output for layer in layers[:3]] == [(4, 3, 4), (3, 1, 3), (1, 1, 3)]
    # zeros before and after: (ceil(n / stride) - 1) stride + kernel - n, the odd one after
    assert [
        same_padding(*size) for size in ((7, 3, 2), (6, 3, 2), (5, 2, 1), (28, 5, 1), (4, 1, 3))
    ] == [
        (1, 1),
        (0, 1),
        (0, 1),
        (2, 2),
        (0, 0),
    ]


def test_lenet_of_1998_has_its_61706_parameters():
    layers = infer_shapes(find_workload("lenet5-1998"))
    assert sum(layer.parameter_count for layer in layers) == 61_706
    assert [layer.output for layer in layers[:5]] == [
        (28, 28, 6),
        (14, 14, 6),
        (10, 10, 16),
        (5, 5, 16),
        (400,),
    ]


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


def test_flops_are_two_per_multiplication_and_three_times_that_in_training_except_the_first_layer():
    layers = infer_shapes(find_workload("cnn"))
    assert layers[0].forward_flops == 2 * 26 * 26 * 32 * 9
    assert layers[0].training_flops == 2 * layers[0].forward_flops
    assert layers[1].forward_flops == 2 * 24 * 24 * 32 * 9 * 32
    assert layers[1].training_flops == 3 * layers[1].forward_flops
    assert layers[2].forward_flops == 0
    assert layers[5].forward_bytes == 4 * (4608 + 256)


@pytest.mark.parametrize("part", find_suite("big").workloads, ids=lambda part: part.workload)
def test_the_suite_big_gives_every_processor_of_an_h100_work(part):
    """It has 132, and its libraries give each a tile of 128 x 128 results of a matrix product."""
    workload = find_workload(part.workload)
    batch, busy = part.batch_size or workload.recipe.batch_size, 0.0
    layers = infer_shapes(workload)
    for layer in layers:
        *pixels, columns = layer.output
        tiles = ceil(batch * prod(pixels) / 128) * ceil(columns / 128)
        busy += layer.training_flops * min(1, tiles / 132)
    assert busy >= 0.95 * sum(layer.training_flops for layer in layers)
