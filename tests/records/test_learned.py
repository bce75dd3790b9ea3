"""What a model has learned is kept in a small file, which is read only if it is whole."""

from __future__ import annotations

import numpy as np
import pytest

from bench.records.learned import path_of, read_learned
from bench.records.stored import LeftOut
from bench.worker.learned import MOST_FILTERS, keep_learned


def kept(tmp_path, logits, **weights):
    keep_learned(path_of(tmp_path, "k"), logits, {f"{n}.kernel": w for n, w in weights.items()})
    return read_learned(tmp_path, "k")


def test_predictions_and_the_first_layer_are_read_back(tmp_path):
    random = np.random.default_rng(0)
    logits = random.normal(size=(10_000, 10)).astype(np.float32)
    first, second = (random.normal(size=(5, 5, 1, 20)).astype(np.float32) for _ in range(2))
    learned = kept(tmp_path, logits, a=first, b=second)
    assert (learned.classes == logits.argmax(axis=1)).all()
    assert np.abs(learned.filters - first).max() < 1e-2
    assert path_of(tmp_path, "k").stat().st_size < 12_000


def test_only_some_filters_are_kept_and_none_of_a_huge_layer(tmp_path):
    few = np.zeros((2, 3), np.float32)
    assert kept(tmp_path, few, a=np.ones((784, 500), np.float32)).filters.shape == (
        784,
        MOST_FILTERS,
    )
    assert kept(tmp_path, few, a=np.ones((150_528, 64), np.float32)).filters.size == 0
    assert kept(tmp_path, few).filters.size == 0


def test_many_classes_need_more_than_a_byte(tmp_path):
    logits = np.eye(300, dtype=np.float32)
    assert (kept(tmp_path, logits).classes == np.arange(300)).all()


@pytest.mark.parametrize("content", [b"", b"PK", b"not a file of NumPy", b"\x93NUMPY"])
def test_a_damaged_file_is_left_out(tmp_path, content):
    path = path_of(tmp_path, "k")
    path.parent.mkdir()
    path.write_bytes(content)
    assert read_learned(tmp_path, "k") == LeftOut(path, "damaged")


def test_a_file_that_would_run_code_is_left_out(tmp_path):
    path = path_of(tmp_path, "k")
    path.parent.mkdir()
    with path.open("wb") as file:
        np.savez(file, classes=np.array([print], object), filters=np.zeros(0), allow_pickle=True)
    assert read_learned(tmp_path, "k") == LeftOut(path, "damaged")


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = path_of(tmp_path, "k")
    path.parent.mkdir()
    path.write_bytes(bytes(6_000_000))
    assert read_learned(tmp_path, "k") == LeftOut(path, "cannot be read (larger than 5 MB)")


def test_there_may_be_none(tmp_path):
    assert read_learned(tmp_path, "k") is None
