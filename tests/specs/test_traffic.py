"""The traffic of a model, worked by hand."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backends.formulas import Updates
from bench.worker.verification.models import MODELS
from specs.loading import find_workload
from specs.model import Sgd
from specs.shapes import infer_shapes
from specs.traffic import slots, training_traffic

SOFTMAX = find_workload("softmax")
PER_EXAMPLE = (784 + 10) + (10 + 784)


def test_traffic_is_what_was_worked_by_hand():
    traffic = training_traffic(SOFTMAX)
    assert traffic.per_example == PER_EXAMPLE
    kept = slots(SOFTMAX.optimizer)
    assert traffic.per_step == (5 + 2 * kept) * 7850  # one layer: no kernel is read backward


def test_traffic_counts_input_gradients_kernels_pools_and_state_but_no_flatten_or_dropout():
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
    pool = next(
        layer for layer in find_workload("cnn").layers if type(layer).__name__ == "MaxPool2d"
    )
    pooled = replace(SOFTMAX, layers=(pool, *SOFTMAX.layers))
    assert training_traffic(pooled).per_example == (784 + 196) + (196 + 10) + (10 + 196)


@pytest.mark.parametrize("name", MODELS)
def test_slots_are_those_that_the_adapters_keep(name):
    optimizer = MODELS[name].optimizer
    assert slots(optimizer) == len(Updates(spec=optimizer, sqrt=None, expm1=None).initial_slots())
    assert slots(Sgd(learning_rate=0.1, momentum=0.9, nesterov=False)) == 1
