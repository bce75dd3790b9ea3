"""Warm-up and break-even, on made-up epochs."""

from __future__ import annotations

from math import nan

import numpy as np
import pytest

from bench.statistics.steady import break_even, warm_up_epochs, warm_ups
from tests.support.noise import bursts
from tests.support.records import make_record


def test_compiling_pays_after_as_many_epochs_as_it_saves():
    assert break_even(10.0, 2.0, 1.0, 2.0) == 11  # 10 + 2 + 10 * 1 = 11 * 2
    assert break_even(10.5, 2.0, 1.0, 2.0) == 12
    assert break_even(0.0, 1.5, 1.0, 2.0) == 1
    assert break_even(1.0, 2.0, 2.0, 2.0) is None
    assert break_even(1.0, 2.0, 3.0, 2.0) is None
    assert break_even(nan, 2.0, 1.0, 2.0) is None
    assert break_even(1.0, 2.0, nan, 2.0) is None


def warmed(random, count, epochs, *, noise, warm_up=()):
    """Seconds of the epochs of some processes, the first ones slower by the given factors."""
    found = random.normal(0, 0.03, (count, epochs))
    if noise == "bursts":
        found += bursts(random, count, epochs, share=0.2, length=5.0)
    found[:, : len(warm_up)] += np.log(warm_up)
    return np.exp(found)


def test_a_warm_up_of_four_epochs_is_found_where_several_processes_have_it():
    random = np.random.default_rng(11)
    for noise, least in (("even", 0.95), ("bursts", 0.6)):
        found = [
            warm_up_epochs(warmed(random, 6, 24, noise=noise, warm_up=(3, 1.6, 1.4, 1.3)))
            for _ in range(40)
        ]
        print(noise, sorted(found))
        assert np.mean([n == 4 for n in found]) >= least


@pytest.mark.parametrize("first", [1.0, 3.0])
@pytest.mark.parametrize("noise", ["even", "bursts"])
def test_without_a_warm_up_of_several_only_the_first_epoch_is_left_out_however_slow_it_is(
    noise, first
):
    """At most 1 % of the cases are alarms; 200 cases can tell that from 5 %."""
    random = np.random.default_rng(12)
    alarms = sum(
        warm_up_epochs(warmed(random, 6, 24, noise=noise, warm_up=(first,))) > 1 for _ in range(200)
    )
    print(noise, first, alarms)
    assert alarms <= 6


def test_with_few_epochs_or_one_process_the_first_epoch_is_left_out_if_there_is_another():
    slow_start = [[9.0] * 3 + [1.0] * 16]
    assert warm_up_epochs(slow_start * 5) == 1
    assert warm_up_epochs([[9.0] * 3 + [1.0] * 30]) == 1
    assert warm_up_epochs([[9.0, 1.0]]) == 1
    assert warm_up_epochs([[9.0]]) == 0
    assert warm_up_epochs([]) == 0
    assert warm_up_epochs([[nan] * 30, [1.0] * 30]) == 1


@pytest.mark.parametrize(
    ("backend", "device", "epochs", "expected"),
    [
        ("pytorch-compiled", "cuda:0", 4, 2),
        ("pytorch-compiled", "2xcuda", 4, 2),
        ("pytorch-compiled", "cuda:0", 2, 1),
        ("pytorch-compiled", "cpu", 4, 1),
        ("pytorch", "cuda:0", 4, 1),
        ("unknown here", "cuda:0", 4, 1),
    ],
)
def test_on_a_gpu_a_backend_may_need_more_epochs_until_its_programs_are_recorded(
    backend, device, epochs, expected
):
    record = make_record(
        times=(1.0,) * epochs, accuracies=(0.5,) * epochs, backend=backend, device=device
    )
    assert warm_ups([record]) == {"k": expected}
