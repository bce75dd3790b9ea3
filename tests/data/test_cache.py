"""Arrays in the cache: made again where they are damaged, and errors that say what to do."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.data.cache import materialise
from bench.data.dataset import DataError, Places
from specs.loading import find_workload
from tests.support.archives import make_archive, set_archive

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


def replaced_by(path, make):
    path.unlink()
    make(path)


def announce(path, shape):
    """A file of arrays that has the given shape by its header, and no content."""
    with path.open("wb") as file:
        header = {"descr": "|u1", "fortran_order": False, "shape": shape}
        np.lib.format.write_array_header_1_0(file, header)


def fill_with_arrays(path):
    with path.open("wb") as file:
        np.savez(file, a=np.zeros(3))


POISONS = {
    "pipe": os.mkfifo,
    "folder": Path.mkdir,
    "endless": lambda path: path.symlink_to("/dev/zero"),
    "loop": lambda path: path.symlink_to(path.name),
    "dangling link": lambda path: path.symlink_to("nowhere"),
    "huge shape": lambda path: announce(path, (10**15,)),
    "negative shape": lambda path: announce(path, (-1,)),
    "several arrays": fill_with_arrays,
    "bad header": lambda path: path.write_bytes(b"\x93NUMPY\x01\x00\x05\x00{(((\n"),
    "huge file": lambda path: os.truncate(os.open(path, os.O_CREAT | os.O_WRONLY), 10**12),
}


@pytest.fixture
def poisoned(tmp_path, monkeypatch):
    """The cache's folder of a small data set, and a function that says if it is made again."""
    set_archive(monkeypatch, files=make_archive(tmp_path / "mnist"))
    places = Places(directory=tmp_path, cache=tmp_path / "cache")
    made = materialise("mnist", MNIST_INPUT, places)
    return Path(made.folder), lambda: materialise("mnist", MNIST_INPUT, places) == made


@pytest.mark.parametrize("poison", POISONS)
def test_what_another_user_has_put_into_the_cache_is_replaced_and_named(poison, poisoned, caplog):
    folder, is_made_again = poisoned
    replaced_by(folder / "test_labels.npy", POISONS[poison])
    assert is_made_again()
    assert f"{folder} is damaged" in caplog.text
    assert {path.name for path in folder.parent.iterdir()} == {folder.name}
    caplog.clear()
    assert is_made_again()
    assert not caplog.text


@pytest.mark.parametrize("make", [os.mkfifo, Path.touch, lambda path: path.symlink_to(path.parent)])
def test_what_has_the_name_of_the_folder_is_replaced_and_links_are_not_followed(make, poisoned):
    folder, is_made_again = poisoned
    beside = folder.parent / "beside"
    beside.touch()
    shutil.rmtree(folder)
    make(folder)
    assert is_made_again()
    assert not folder.is_symlink()
    assert beside.exists()


def test_what_an_interrupted_writing_left_long_ago_is_removed(poisoned):
    folder, is_made_again = poisoned
    old, new = folder.parent / ".new-old", folder.parent / ".new-new"
    for left in (old, new):
        left.mkdir()
        (left / "train_images.npy").touch()
    os.utime(old, (0, 0))
    shutil.rmtree(folder)
    assert is_made_again()
    assert not old.exists()
    assert new.exists()
