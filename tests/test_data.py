"""Data sets: what is in them, and what is said when they cannot be had."""

from __future__ import annotations

import gzip
import hashlib
import http.server
import shutil
import socket
import threading
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from msgspec.structs import replace

from bench import sources
from bench.data import materialise, read_part
from bench.sources import DataError, Places
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
    assert sum(image.tobytes() in seen for image in test_images) == 0  # nothing is tested that was trained on
    assert mnist_5k.checksum.startswith("3503d97b")


def test_synthetic_takes_any_shape_and_is_always_the_same(places):
    spec = Input(shape=(5, 4, 3), classes=7)
    first, again = materialise("synthetic", spec, places), materialise("synthetic", spec, places)
    assert first == again
    images, labels = read_part(Path(first.folder), "train")
    assert images.shape == (4000, 5, 4, 3)
    assert set(labels) == set(range(7))


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
        match="'mnist-6k'.*\n.*mnist, mnist-5k, mnist-expanded, fashion-mnist, synthetic\n.*did you mean 'mnist-5k'",
    ):
        materialise("mnist-6k", MNIST_INPUT, places)


def test_a_cache_that_cannot_be_written_is_an_error_with_the_variable_to_set(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match=r"cannot be written.*\n.*\n.*FRAMEWORK_BENCH_CACHE"):
        materialise("mnist-5k", MNIST_INPUT, Places(directory=None, cache=tmp_path / "file"))


def test_files_missing_from_a_named_folder_are_named(tmp_path):
    with pytest.raises(DataError, match="train-images-idx3-ubyte.gz, .*t10k-labels-idx1-ubyte.gz not there"):
        materialise("mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path))


@pytest.mark.parametrize("damage", ["empty", "truncated", "one byte", "not gzip"])
def test_damaged_files_are_named_with_both_checksums(damage, tmp_path):
    for name in sources._NAMES:
        (tmp_path / name).write_bytes(
            {"empty": b"", "truncated": b"\x1f\x8b\x08", "one byte": b"x"}.get(damage, b"<html>")
        )
    with pytest.raises(DataError, match=r"train-images-idx3-ubyte.gz: corrupt or truncated.*\n.*440fcabf73cc546f"):
        materialise("mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path))


@pytest.mark.full_mnist
def test_mnist_has_its_known_sizes_and_first_labels(full_mnist, tmp_path):
    made = materialise("mnist", MNIST_INPUT, Places(directory=full_mnist, cache=tmp_path))
    assert made.checksum == sources.ARRAYS["mnist"]
    assert materialise("mnist", MNIST_INPUT, Places(directory=None, cache=tmp_path)) == made  # from the cache alone
    images, labels = read_part(Path(made.folder), "train")
    assert (images.shape, made.test_examples) == ((60_000, 28, 28, 1), 10_000)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert float(images.mean()) == pytest.approx(0.1307, abs=1e-4)  # the mean that PyTorch's examples subtract


@pytest.mark.full_mnist
def test_one_flipped_byte_of_real_mnist_is_noticed(full_mnist, tmp_path):
    for name in sources._NAMES:
        shutil.copy(full_mnist / name, tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1_000_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="t10k-images-idx3-ubyte.gz: corrupt or truncated, 1,648,877 bytes"):
        materialise("mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path))


def make_archive(folder: Path, images: int = 3) -> dict[str, str]:
    """Four files of the published form, small; their checksums."""
    random, checksums = np.random.RandomState(0), {}
    for name in sources._NAMES:
        shape = (images, 28, 28) if "idx3" in name else (images,)
        header = bytes([0, 0, 8, len(shape)]) + b"".join(size.to_bytes(4, "big") for size in shape)
        content = gzip.compress(header + random.randint(0, 10, shape).astype(np.uint8).tobytes())
        folder.mkdir(exist_ok=True)
        (folder / name).write_bytes(content)
        checksums[name] = hashlib.sha256(content).hexdigest()
    return checksums


def set_archive(monkeypatch, name="mnist", **changes):
    archives = {**sources.ARCHIVES, name: replace(sources.ARCHIVES[name], **changes)}
    monkeypatch.setattr(sources, "ARCHIVES", archives)


def test_fashion_mnist_lies_in_a_folder_of_its_name_beside_mnist_or_in_the_named_one(tmp_path, monkeypatch):
    set_archive(monkeypatch, "fashion-mnist", files=make_archive(tmp_path / "fashion-mnist"))
    for directory in (tmp_path, tmp_path / "fashion-mnist"):
        made = materialise("fashion-mnist", MNIST_INPUT, Places(directory=directory, cache=tmp_path / "cache"))
        assert (made.name, made.train_examples, made.shape) == ("fashion-mnist", 3, (28, 28, 1))


def test_a_folder_that_is_named_after_another_archive_is_not_taken_for_mnist(tmp_path):
    places = Places(directory=tmp_path / "fashion-mnist", cache=tmp_path / "cache")
    assert sources.place("mnist", places) == tmp_path / "cache" / "mnist"


def test_fashion_mnist_is_fetched_from_its_own_mirrors_into_its_own_folder(tmp_path, monkeypatch, serve):
    checksums = make_archive(tmp_path / "mirror")
    set_archive(monkeypatch, "fashion-mnist", files=checksums, mirrors=(serve(tmp_path / "mirror"),))
    materialise("fashion-mnist", MNIST_INPUT, Places(directory=None, cache=tmp_path / "cache"))
    assert {path.name for path in (tmp_path / "cache" / "fashion-mnist").iterdir()} == {*sources._NAMES}


def test_mnist_in_place_of_fashion_mnist_is_noticed(tmp_path):
    make_archive(tmp_path / "fashion-mnist")
    with pytest.raises(DataError, match=r"corrupt or truncated.*\n.*3aede38d61863908"):
        materialise("fashion-mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path / "cache"))


def test_expanded_data_are_the_images_and_their_four_shifts_by_a_pixel():
    image = np.arange(1, 7, dtype=np.uint8).reshape(1, 2, 3, 1)
    arrays = {"train_images": image, "train_labels": np.array([4]), "test_images": image, "test_labels": np.array([4])}
    made = sources.expand(arrays)
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
    assert made.checksum == sources.ARRAYS["mnist-expanded"]
    assert (
        materialise("mnist-expanded", MNIST_INPUT, Places(directory=None, cache=tmp_path)) == made
    )  # from the cache alone
    assert (made.train_examples, made.test_examples) == (300_000, 10_000)


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """A mirror on this machine, serving a folder."""
    servers = []

    def start(folder):
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def hanging():
    """A mirror that takes connections and never answers."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=64)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
    listener.close()


def test_mirrors_that_refuse_hang_or_send_something_else_are_each_named(tmp_path, monkeypatch, serve, hanging):
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "train-images-idx3-ubyte.gz").write_bytes(b"a page that asks you to log in")
    mirrors = ("http://127.0.0.1:9/", hanging, serve(tmp_path / "wrong"), serve(tmp_path))
    set_archive(monkeypatch, mirrors=mirrors)
    monkeypatch.setattr(sources, "_TIMEOUT_SECONDS", (1.0, 1.0))
    with pytest.raises(DataError) as caught:
        sources.fetch("mnist", tmp_path / "cache")
    message = str(caught.value)
    assert all(mirror in message for mirror in mirrors)
    assert "--data-dir" in message
    assert "mnist-5k" in message


def test_a_download_falls_back_to_the_next_mirror_and_is_kept(tmp_path, monkeypatch, serve):
    (tmp_path / "good").mkdir()
    files = {"a.gz": b"first", "b.gz": b"second"}
    for name, content in files.items():
        (tmp_path / "good" / name).write_bytes(content)
    checksums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    set_archive(monkeypatch, files=checksums, mirrors=("http://127.0.0.1:9/", serve(tmp_path / "good")))
    folder = sources.fetch("mnist", tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    set_archive(
        monkeypatch, files=checksums, mirrors=("http://127.0.0.1:9/",)
    )  # what is in the cache is not fetched again
    assert sources.fetch("mnist", tmp_path / "cache") == folder
