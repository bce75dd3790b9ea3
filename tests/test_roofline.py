"""The roofline on figures whose answers are known, and the traffic of a model worked by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backends.functional_updates import Updates
from bench.limiting import Reached
from bench.limits import FORMAT, EngineLimits
from bench.machine import this_machine
from bench.roofline import stand
from specs.loading import find_workload
from specs.model import Sgd
from specs.proof import MODELS
from specs.shapes import infer_shapes
from specs.traffic import slots, training_traffic

SOFTMAX = find_workload("softmax")
# Of softmax, by hand: 784 x 10 kernel and 10 biases, no input gradient.
FLOPS = 2 * 2 * 7840
PER_EXAMPLE = (784 + 10) + (10 + 784)


def reached(operation, size, work, rate):
    return Reached(operation=operation, size=size, work=work, seconds=work / rate, repeats=3, chain=1)


def made_limits(product=100e9, memory=((1, 100e9), (10**9, 10e9)), convolution=50e9, call=1e-6, **changes):
    fields = {
        "format": FORMAT,
        "key": "k",
        "status": "ok",
        "reason": "",
        "details": "",
        "environment": "bench",
        "device": "cpu",
        "threads": 1,
        "precision": "float32",
        "machine": replace(this_machine(), name="m"),
        "versions": {},
        "started": "2026-01-01T00:00:00Z",
        "wall_seconds": 1.0,
        "value_bytes": 4,
        "settings": {},
        "reached": (
            reached("matmul", 64, 100, product / 2),
            reached("matmul", 128, 1000, product),
            reached("convolution", 8, 1000, convolution),
            Reached(operation="memory", size=32, work=0, seconds=call, repeats=3, chain=1),
            *(
                Reached(operation="memory", size=w, work=w, seconds=max(w / r, call), repeats=3, chain=1)
                for w, r in memory
            ),
        ),
    }
    return EngineLimits(**{**fields, **changes})


def standing(seconds, workload=SOFTMAX, examples=1000, batch_size=100, **limits):
    return stand(
        workload, examples=examples, batch_size=batch_size, epoch_seconds=seconds, limits=made_limits(**limits)
    )


def test_traffic_is_what_was_worked_by_hand():
    traffic = training_traffic(SOFTMAX)
    assert traffic.per_example == PER_EXAMPLE
    kept = slots(SOFTMAX.optimizer)
    assert traffic.per_step == (5 + 2 * kept) * 7850  # one layer: no kernel is read backward


def test_traffic_of_several_layers_counts_input_gradients_kernels_pools_and_state_but_no_flatten_or_dropout():
    cnn = find_workload("cnn")
    traffic = training_traffic(cnn)
    first, second = 26 * 26 * 32, 24 * 24 * 32
    pool, hidden = 12 * 12 * 32, 256
    by_hand = (
        (784 + first + first + 784)  # its input learns nothing
        + (first + second + second + 2 * first)
        + (second + pool + pool + 2 * second)
        + (4608 + hidden + hidden + 2 * 4608)
        + (hidden + 10 + 10 + 2 * hidden)
    )
    assert traffic.per_example == by_hand
    parameters = sum(shape.parameter_count for shape in infer_shapes(cnn))
    kernels = 9 * 32 * 32 + 4608 * 256 + 2560
    assert traffic.per_step == (5 + 2 * slots(cnn.optimizer)) * parameters + kernels


def test_a_layer_before_all_that_learn_has_no_backward():
    pool = next(layer for layer in find_workload("cnn").layers if type(layer).__name__ == "MaxPool2d")
    pooled = replace(SOFTMAX, layers=(pool, *SOFTMAX.layers))
    assert training_traffic(pooled).per_example == (784 + 196) + (196 + 10) + (10 + 196)


@pytest.mark.parametrize("name", MODELS)
def test_slots_are_those_that_the_adapters_keep(name):
    optimizer = MODELS[name].optimizer
    assert slots(optimizer) == len(Updates(spec=optimizer, sqrt=None, expm1=None).initial_slots())
    assert slots(Sgd(learning_rate=0.1, momentum=0.9, nesterov=False)) == 1


def test_rates_shares_and_intensity_are_what_was_worked_by_hand():
    found = standing(0.01, memory=((1, 100e9),))
    moved = 4 * (1000 * PER_EXAMPLE + 10 * training_traffic(SOFTMAX).per_step)
    assert found.step_seconds == pytest.approx(1e-3)
    assert found.flops_per_second == pytest.approx(FLOPS * 1000 / 0.01)
    assert found.of_product == pytest.approx(FLOPS * 1000 / 0.01 / 100e9)
    assert found.of_convolution is None
    assert found.bytes_per_second == pytest.approx(moved / 0.01)
    assert found.intensity == pytest.approx(FLOPS * 1000 / moved)


def test_a_partial_last_batch_is_a_step_too():
    assert standing(0.011, examples=1001).step_seconds == pytest.approx(0.001)


def test_the_memory_is_that_of_sums_no_smaller_than_a_step():
    small, large = (3 * 10**5, 100e9), (10**9, 10e9)
    step = 4 * (100 * PER_EXAMPLE + training_traffic(SOFTMAX).per_step)
    assert small[0] < step < large[0]
    assert standing(1.0, memory=(small, large), call=1e-9).bandwidth == pytest.approx(10e9)
    assert standing(1.0, memory=((10**7, 100e9), large), call=1e-9).bandwidth == pytest.approx(100e9)
    assert standing(1.0, memory=(small,), call=1e-9).bandwidth == pytest.approx(100e9)  # the largest there is


# The ceiling's time of an epoch of softmax: with plenty of memory FLOP / 100 GFLOP/s; with 1 GB/s, bytes / 1 GB/s.
ARITHMETIC = FLOPS * 1000 / 100e9
MEMORY = 4 * (1000 * PER_EXAMPLE + 10 * training_traffic(SOFTMAX).per_step) / 1e9
FAST, SLOW = ((10**9, 1e13),), ((10**9, 1e9),)


@pytest.mark.parametrize(
    ("seconds", "memory", "bound"),
    [
        (ARITHMETIC / 0.9, FAST, "arithmetic"),
        (ARITHMETIC / 0.3, FAST, "partly arithmetic"),
        (ARITHMETIC / 0.1, FAST, "per-step overhead"),
        (ARITHMETIC / 0.1 + 10 * 1.1e-3, FAST, "slow kernels or waiting"),  # 10 steps, over 1,000 calls of 1 us each
        (MEMORY / 0.9, SLOW, "memory"),
        (MEMORY / 0.3, SLOW, "partly memory"),
        (MEMORY / 0.001, SLOW, "slow kernels or waiting"),
        (ARITHMETIC / 1.5, FAST, "arithmetic"),  # above the limit, and not clipped
    ],
)
def test_the_finding_follows_the_share_of_the_ceiling_and_the_side_of_the_roof(seconds, memory, bound):
    found = standing(seconds, memory=memory)
    assert found.bound == bound
    best = ARITHMETIC if memory is FAST else MEMORY
    assert found.of_ceiling == pytest.approx(best / seconds)


def test_a_cnn_is_held_to_both_its_rates_each_for_its_own_arithmetic():
    cnn = find_workload("cnn")
    convolved = sum(shape.training_flops for shape in infer_shapes(cnn)[:2])
    dense = sum(shape.training_flops for shape in infer_shapes(cnn)[2:])
    found = standing(1.0, workload=cnn, memory=FAST)
    assert found.peak == pytest.approx((convolved + dense) / (convolved / 50e9 + dense / 100e9))
    assert found.of_convolution == pytest.approx(2 * found.of_product)
    assert standing(1.0, memory=FAST).peak == pytest.approx(100e9)


def test_what_was_not_measured_gives_no_standing():
    whole = made_limits()
    for gone in ("matmul", "memory", "convolution"):
        left = replace(whole, reached=tuple(one for one in whole.reached if one.operation != gone))
        found = stand(find_workload("cnn"), examples=1000, batch_size=100, epoch_seconds=1.0, limits=left)
        assert found is None
    assert stand(SOFTMAX, examples=1000, batch_size=100, epoch_seconds=1.0, limits=left) is not None
