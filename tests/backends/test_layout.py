"""The layout with channels first: kernels and batches compute the same, and weights come back."""

from __future__ import annotations

import numpy as np
import pytest

from backends.layout import batch_to_channels_first, from_channels_first, to_channels_first
from specs.loading import find_workload
from specs.shapes import infer_shapes

RANDOM = np.random.RandomState(0)


@pytest.mark.parametrize("outputs_first", [True, False])
@pytest.mark.parametrize(
    ("shape", "image", "expected"),
    [
        ((2, 3, 4, 5), None, (5, 4, 2, 3)),
        ((24, 5), (2, 3, 4), None),
        ((24, 5), None, None),
        ((24,), (2, 3, 4), (24,)),
        ((7,), None, (7,)),
    ],
)
def test_a_weight_comes_back_and_shares_no_memory(shape, image, expected, outputs_first):
    weight = RANDOM.random_sample(shape).astype(np.float32)
    there = to_channels_first(weight, image, outputs_first=outputs_first)
    assert there.shape == (expected or ((5, 24) if outputs_first else (24, 5)))
    assert there.flags["C_CONTIGUOUS"]
    back = from_channels_first(there, image, outputs_first=outputs_first)
    np.testing.assert_array_equal(back, weight)
    # A framework may train in the array that it was given.
    assert not np.shares_memory(there, weight)
    assert not np.shares_memory(back, there)


def test_what_follows_a_flatten_computes_the_same_in_both_layouts():
    images, kernel = RANDOM.random_sample((6, 2, 3, 4)), RANDOM.random_sample((24, 5))
    flat = batch_to_channels_first(images).reshape(6, 24)
    expected = images.reshape(6, 24) @ kernel
    np.testing.assert_allclose(flat @ to_channels_first(kernel, (2, 3, 4)).T, expected)
    in_first = to_channels_first(kernel, (2, 3, 4), outputs_first=False)
    np.testing.assert_allclose(flat @ in_first, expected)
    np.testing.assert_array_equal(batch_to_channels_first(images.reshape(6, 24), (2, 3, 4)), flat)


def test_a_convolution_reads_the_same_pixels():
    image, kernel = RANDOM.random_sample((1, 2, 3, 4)), RANDOM.random_sample((2, 3, 4, 5))
    ours = to_channels_first(kernel, None)
    expected = np.einsum("nhwc,hwco->no", image, kernel)
    found = np.einsum("nchw,ochw->no", batch_to_channels_first(image), ours)
    np.testing.assert_allclose(found, expected)


def test_vectors_without_an_image_and_one_channel_are_not_copied():
    vectors, images = RANDOM.random_sample((6, 5)), RANDOM.random_sample((6, 2, 3, 1))
    np.testing.assert_array_equal(batch_to_channels_first(vectors), vectors)
    assert np.shares_memory(np.ascontiguousarray(batch_to_channels_first(images)), images)


def test_an_image_is_flattened_up_to_the_next_dense_layer():
    found = [(shape.layer.__struct_config__.tag, shape.flattened) for shape in layers("cnn")]
    dense = [("dense", (12, 12, 32)), ("dropout", None), ("dense", None)]
    assert found == [*((kind, None) for kind, _ in found[:-3]), *dense]
    assert [kind for kind, _ in found].count("flatten") == 1


def layers(name):
    return infer_shapes(find_workload(name))
