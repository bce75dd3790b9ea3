"""The roofline, on figures with known results."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from bench.statistics.roofline import utilization_of
from specs.loading import find_workload
from specs.shapes import infer_shapes
from specs.traffic import training_traffic
from tests.support.records import made_limits

SOFTMAX = find_workload("softmax")
# Of softmax, by hand: 784 x 10 kernel and 10 biases, no input gradient.
FLOPS = 2 * 2 * 7840
PER_EXAMPLE = (784 + 10) + (10 + 784)


def utilization(seconds, workload=SOFTMAX, examples=1000, batch_size=100, **limits):
    return utilization_of(
        workload,
        examples=examples,
        batch_size=batch_size,
        epoch_seconds=seconds,
        limits=made_limits(**limits),
    )


def test_rates_shares_and_intensity_are_what_was_worked_by_hand():
    found = utilization(0.01, memory=((1, 100e9),))
    moved = 4 * (1000 * PER_EXAMPLE + 10 * training_traffic(SOFTMAX).per_step)
    assert found.step_seconds == pytest.approx(1e-3)
    assert found.flops_per_second == pytest.approx(FLOPS * 1000 / 0.01)
    assert found.of_matmul_peak == pytest.approx(FLOPS * 1000 / 0.01 / 100e9)
    assert found.of_convolution_peak is None
    assert found.bytes_per_second == pytest.approx(moved / 0.01)
    assert found.intensity == pytest.approx(FLOPS * 1000 / moved)


def test_a_partial_last_batch_is_a_step_too():
    assert utilization(0.011, examples=1001).step_seconds == pytest.approx(0.001)


def test_the_memory_is_that_of_sums_no_smaller_than_a_step():
    small, large = (3 * 10**5, 100e9), (10**9, 10e9)
    step = 4 * (100 * PER_EXAMPLE + training_traffic(SOFTMAX).per_step)
    assert small[0] < step < large[0]
    assert utilization(1.0, memory=(small, large), call=1e-9).bandwidth == pytest.approx(10e9)
    assert utilization(1.0, memory=((10**7, 100e9), large), call=1e-9).bandwidth == pytest.approx(
        100e9
    )
    # It is the largest bandwidth of all.
    assert utilization(1.0, memory=(small,), call=1e-9).bandwidth == pytest.approx(100e9)


# The shortest time of an epoch of softmax: with plenty of memory FLOP / 100 GFLOP/s; with 1 GB/s,
# bytes / 1 GB/s.
ARITHMETIC = FLOPS * 1000 / 100e9
MEMORY = 4 * (1000 * PER_EXAMPLE + 10 * training_traffic(SOFTMAX).per_step) / 1e9
FAST, SLOW = ((10**9, 1e13),), ((10**9, 1e9),)


@pytest.mark.parametrize(
    ("seconds", "memory", "bound"),
    [
        (ARITHMETIC / 0.9, FAST, "arithmetic"),
        (ARITHMETIC / 0.3, FAST, "partly arithmetic"),
        (ARITHMETIC / 0.1, FAST, "per-step overhead"),
        # 10 steps, each over 1,000 calls of 1 us.
        (ARITHMETIC / 0.1 + 10 * 1.1e-3, FAST, "slow kernels or waiting"),
        (MEMORY / 0.9, SLOW, "memory"),
        (MEMORY / 0.3, SLOW, "partly memory"),
        (MEMORY / 0.001, SLOW, "slow kernels or waiting"),
        (ARITHMETIC / 1.5, FAST, "arithmetic"),  # above the limit, and not clipped
    ],
)
def test_the_finding_follows_the_attainable_share_and_the_side_of_the_roof(seconds, memory, bound):
    found = utilization(seconds, memory=memory)
    assert found.bound == bound
    best = ARITHMETIC if memory is FAST else MEMORY
    assert found.of_attainable == pytest.approx(best / seconds)


def test_a_cnn_is_held_to_both_its_rates_each_for_its_own_arithmetic():
    cnn = find_workload("cnn")
    convolved = sum(shape.training_flops for shape in infer_shapes(cnn)[:2])
    dense = sum(shape.training_flops for shape in infer_shapes(cnn)[2:])
    found = utilization(1.0, workload=cnn, memory=FAST)
    assert found.peak == pytest.approx((convolved + dense) / (convolved / 50e9 + dense / 100e9))
    assert found.of_convolution_peak == pytest.approx(2 * found.of_matmul_peak)
    assert utilization(1.0, memory=FAST).peak == pytest.approx(100e9)


def test_what_was_not_measured_gives_no_utilization():
    whole = made_limits()
    for gone in ("matmul", "memory", "convolution"):
        left = replace(whole, reached=tuple(one for one in whole.reached if one.operation != gone))
        found = utilization_of(
            find_workload("cnn"), examples=1000, batch_size=100, epoch_seconds=1.0, limits=left
        )
        assert found is None
    assert (
        utilization_of(SOFTMAX, examples=1000, batch_size=100, epoch_seconds=1.0, limits=left)
        is not None
    )
