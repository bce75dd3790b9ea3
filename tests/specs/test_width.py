"""Wider models: what a width multiplies, and which widths are not possible."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from specs.errors import SpecError
from specs.loading import find_suite, find_workload
from specs.model import Conv2d, Dense, Input
from specs.shapes import infer_shapes
from specs.width import narrowed, widened

MLP = find_workload("mlp-relu")
BIG = tuple(part.workload for part in find_suite("big").workloads)


def test_a_width_multiplies_hidden_units_and_filters_and_nothing_else():
    cnn = widened(find_workload("cnn"), 4)
    assert [layer.units for layer in cnn.layers if isinstance(layer, Dense)] == [1024, 10]
    assert [layer.filters for layer in cnn.layers if isinstance(layer, Conv2d)] == [128, 128]
    assert (cnn.name, cnn.references, cnn.recipe.target_accuracy) == ("cnn-x4", (), None)
    assert (cnn.optimizer, cnn.loss, cnn.input) == (
        find_workload("cnn").optimizer,
        find_workload("cnn").loss,
        find_workload("cnn").input,
    )
    # By hand: 784, 800, ...
    assert sum(layer.parameter_count for layer in infer_shapes(widened(MLP, 4))) == 1_074_770


@pytest.mark.parametrize("name", ["mlp-relu", "cnn", "lenet5", *BIG])
def test_what_was_widened_is_told_from_what_is_only_named_so(name):
    workload = find_workload(name)
    family, width = narrowed(widened(workload, 2))
    assert (family.name, family.layers, width) == (name, workload.layers, 2)
    assert narrowed(workload) == (workload, 1)
    named = replace(workload, name="mine-x3")  # 200 units and 32 filters are no multiples of 3
    assert narrowed(named) == (named, 1)


@pytest.mark.parametrize(
    ("workload", "width", "parts"),
    [
        (
            find_workload("softmax"),
            4,
            ["softmax: it has no hidden dense layer", "width 4", "--width 1"],
        ),
        (
            MLP,
            999,
            [
                "mlp-relu-x999: layers: 27,901,760,320 parameters",
                "at most 1,000,000,000",
                "a smaller --width",
            ],
        ),
        (
            replace(
                MLP,
                input=Input(shape=(1, 1, 1), classes=10),
                layers=(MLP.layers[0], MLP.layers[4], MLP.layers[5]),
            ),
            50_000,
            ["x50000", "<= 1000000", "layers[1].units", "a smaller --width"],
        ),
        (replace(MLP, name="a" * 63), 2, ["$.name", "a smaller --width"]),
    ],
)
def test_a_width_that_cannot_be_is_refused(workload, width, parts):
    with pytest.raises(SpecError) as caught:
        widened(workload, width)
    for part in parts:
        assert part in str(caught.value)
