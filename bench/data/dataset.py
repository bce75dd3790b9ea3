"""The names of data sets, their places on disk, and the error for a missing one."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from specs.errors import UserError, closest

DATASETS = ("mnist", "mnist-5k", "mnist-12k", "mnist-expanded", "fashion-mnist", "synthetic")
FALLBACK = "mnist-5k"  # used instead of MNIST if MNIST is not available


class DataSet(Struct, frozen=True, kw_only=True):
    """A data set on disk.

    Attributes:
        folder: the folder with one `.npy` file per part: images uint8, labels of an unsigned type.
        checksum: SHA-256 of every value, shape and type.
        shape: the shape of one image, (height, width, channels).
    """

    name: str
    folder: str
    checksum: str
    train_examples: int
    test_examples: int
    shape: tuple[int, int, int]
    classes: int


def check_name(name: str) -> None:
    """Raise `DataError` if there is no data set of that name."""
    if name not in DATASETS:
        raise DataError(
            f"no data set is named '{name}'",
            expected=f"one of {', '.join(DATASETS)}",
            hint=closest(name, [*DATASETS]),
        )


class DataError(UserError):
    """A data set is not available, or its files are damaged."""


class Places(Struct, frozen=True, kw_only=True):
    """The folders of data.

    Attributes:
        directory: the user's folder, if any; it is only read.
        cache: the folder that the bench writes to.
    """

    directory: Path | None
    cache: Path
