"""Arrays in the cache: made again where they are damaged, and errors that say what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.data.cache import materialise
from bench.data.dataset import DataError, Places
from specs.loading import find_workload

MNIST_INPUT = find_workload("softmax").input


def test_arrays_that_were_changed_in_the_cache_are_made_again(tmp_path):
    places = Places(directory=None, cache=tmp_path)
    made = materialise("mnist-5k", MNIST_INPUT, places)
    path = Path(made.folder) / "train_images.npy"
    good = path.read_bytes()
    path.write_bytes(good[:-1] + b"\xff")
    assert materialise("mnist-5k", MNIST_INPUT, places) == made
    assert path.read_bytes() == good
    path.write_bytes(good[:1000])
    assert materialise("mnist-5k", MNIST_INPUT, places) == made
    assert path.read_bytes() == good


def test_an_unknown_data_set_is_refused_with_the_nearest(places):
    with pytest.raises(
        DataError,
        match="'mnist-6k'.*\n.*mnist, mnist-5k, mnist-12k, mnist-expanded, fashion-mnist,"
        " synthetic\n.*did you mean 'mnist-5k'",
    ):
        materialise("mnist-6k", MNIST_INPUT, places)


def test_a_cache_that_cannot_be_written_is_an_error_with_the_variable_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.*\n.*\n.*FRAMEWORK_BENCH_CACHE"):
        materialise("mnist-5k", MNIST_INPUT, Places(directory=None, cache=tmp_path / "file"))
