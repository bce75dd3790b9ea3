"""Files in MNIST's form: found, fetched from mirrors, checked, and never mistaken for others."""

from __future__ import annotations

import contextlib
import hashlib
import http.server
import os
import shutil
import socket
import threading
import time
from functools import partial
from pathlib import Path

import pytest

from bench.data import archives as sources
from bench.data.cache import materialise
from bench.data.dataset import DataError, Places
from bench.worker.examples import read_part
from specs.loading import find_workload
from tests.support.archives import make_archive, set_archive

MNIST_INPUT = find_workload("softmax").input


def fill(path):
    """A file of 1 TB, which takes no room on the disk."""
    with path.open("wb") as file:
        file.truncate(10**12)


def test_files_missing_from_a_named_folder_are_named(tmp_path):
    with pytest.raises(
        DataError, match="missing train-images-idx3-ubyte.gz, .*t10k-labels-idx1-ubyte.gz"
    ):
        materialise("mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path))


@pytest.mark.parametrize("damage", ["empty", "truncated", "one byte", "not gzip"])
def test_damaged_files_are_named_with_both_checksums(damage, tmp_path):
    for name in sources._NAMES:
        (tmp_path / name).write_bytes(
            {"empty": b"", "truncated": b"\x1f\x8b\x08", "one byte": b"x"}.get(damage, b"<html>")
        )
    with pytest.raises(
        DataError, match=r"train-images-idx3-ubyte.gz: corrupt or truncated.*\n.*440fcabf73cc546f"
    ):
        materialise("mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path))


@pytest.mark.full_mnist
def test_mnist_has_its_known_sizes_and_first_labels(full_mnist, tmp_path):
    made = materialise("mnist", MNIST_INPUT, Places(directory=full_mnist, cache=tmp_path))
    assert made.checksum == sources.ARRAYS["mnist"]
    # From the cache alone.
    assert materialise("mnist", MNIST_INPUT, Places(directory=None, cache=tmp_path)) == made
    images, labels = read_part(Path(made.folder), "train")
    assert (images.shape, made.test_examples) == ((60_000, 28, 28, 1), 10_000)
    assert labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    # The mean that PyTorch's examples subtract.
    assert float(images.mean()) == pytest.approx(0.1307, abs=1e-4)


@pytest.mark.full_mnist
def test_one_flipped_byte_of_real_mnist_is_noticed(full_mnist, tmp_path):
    for name in sources._NAMES:
        shutil.copy(full_mnist / name, tmp_path)
    path = tmp_path / "t10k-images-idx3-ubyte.gz"
    content = bytearray(path.read_bytes())
    content[1_000_000] ^= 1
    path.write_bytes(content)
    with pytest.raises(
        DataError, match="t10k-images-idx3-ubyte.gz: corrupt or truncated, 1,648,877 bytes"
    ):
        materialise("mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path))


def test_fashion_mnist_lies_in_a_folder_of_its_name_beside_mnist_or_in_the_named_one(
    tmp_path, monkeypatch
):
    set_archive(monkeypatch, "fashion-mnist", files=make_archive(tmp_path / "fashion-mnist"))
    for directory in (tmp_path, tmp_path / "fashion-mnist"):
        made = materialise(
            "fashion-mnist", MNIST_INPUT, Places(directory=directory, cache=tmp_path / "cache")
        )
        assert (made.name, made.train_examples, made.shape) == ("fashion-mnist", 3, (28, 28, 1))


def test_a_folder_that_is_named_after_another_archive_is_not_taken_for_mnist(tmp_path):
    places = Places(directory=tmp_path / "fashion-mnist", cache=tmp_path / "cache")
    assert sources.place("mnist", places) == tmp_path / "cache" / "mnist"


def test_fashion_mnist_is_fetched_from_its_own_mirrors_into_its_own_folder(
    tmp_path, monkeypatch, serve
):
    checksums = make_archive(tmp_path / "mirror")
    set_archive(
        monkeypatch, "fashion-mnist", files=checksums, mirrors=(serve(tmp_path / "mirror"),)
    )
    materialise("fashion-mnist", MNIST_INPUT, Places(directory=None, cache=tmp_path / "cache"))
    assert {path.name for path in (tmp_path / "cache" / "fashion-mnist").iterdir()} == {
        *sources._NAMES
    }


def test_mnist_in_place_of_fashion_mnist_is_noticed(tmp_path):
    make_archive(tmp_path / "fashion-mnist")
    with pytest.raises(DataError, match=r"corrupt or truncated.*\n.*3aede38d61863908"):
        materialise(
            "fashion-mnist", MNIST_INPUT, Places(directory=tmp_path, cache=tmp_path / "cache")
        )


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


@pytest.fixture
def serve():
    """A mirror on this machine, serving a folder."""
    servers = []

    def start(folder):
        server = http.server.ThreadingHTTPServer(
            ("127.0.0.1", 0), partial(Quiet, directory=str(folder))
        )
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


def test_mirrors_that_refuse_hang_or_send_something_else_are_each_named(
    tmp_path, monkeypatch, serve, hanging
):
    (tmp_path / "wrong").mkdir()
    (tmp_path / "wrong" / "train-images-idx3-ubyte.gz").write_bytes(
        b"a page that asks you to log in"
    )
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
    set_archive(
        monkeypatch, files=checksums, mirrors=("http://127.0.0.1:9/", serve(tmp_path / "good"))
    )
    folder = sources.fetch("mnist", tmp_path / "cache")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files
    # What is in the cache is not fetched again.
    set_archive(monkeypatch, files=checksums, mirrors=("http://127.0.0.1:9/",))
    assert sources.fetch("mnist", tmp_path / "cache") == folder


@pytest.fixture
def sending():
    """A mirror that sends these bytes again and again, waiting between them, until it is left."""
    servers = []

    def start(part, seconds):
        class Endless(Quiet):
            def do_GET(self):
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    while True:
                        self.wfile.write(part)
                        time.sleep(seconds)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endless)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}/"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    ("part", "seconds", "error"), [(b"x", 0.02, "TimeoutError"), (bytes(10**5), 0, "_TooLarge")]
)
def test_a_mirror_that_sends_too_slowly_or_too_much_is_left(
    part, seconds, error, tmp_path, monkeypatch, sending
):
    mirror = sending(part, seconds)
    set_archive(monkeypatch, files={"a.gz": "0" * 64}, mirrors=(mirror,))
    monkeypatch.setattr(sources, "_LEAST_SECONDS", 0.5)
    monkeypatch.setattr(sources, "_SLOWEST", 1000)  # of a file of 1 MB
    with pytest.raises(DataError, match=f"a.gz from {mirror}.*{error}"):
        sources.fetch("mnist", tmp_path)
    assert not [*(tmp_path / "mnist").iterdir()]


@pytest.mark.parametrize(
    "make", [os.mkfifo, Path.mkdir, lambda path: path.symlink_to("/dev/zero"), fill]
)
def test_what_cannot_be_a_file_of_the_archive_is_replaced(make, tmp_path, monkeypatch, serve):
    checksums = make_archive(tmp_path / "mirror")
    set_archive(monkeypatch, files=checksums, mirrors=(serve(tmp_path / "mirror"),))
    (tmp_path / "cache" / "mnist").mkdir(parents=True)
    make(tmp_path / "cache" / "mnist" / sources._NAMES[0])
    made = materialise("mnist", MNIST_INPUT, Places(directory=None, cache=tmp_path / "cache"))
    assert made.train_examples == 3
