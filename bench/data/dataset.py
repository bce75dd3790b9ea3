"""What a data set is: its names, where it may lie, and what is wrong where it cannot be had."""

from __future__ import annotations

from pathlib import Path

from msgspec import Struct

from specs.errors import UserError, closest

# A recipe may name another, and is then told so before anything runs.
DATASETS = ("mnist", "mnist-5k", "mnist-expanded", "fashion-mnist", "synthetic")
FALLBACK = "mnist-5k"  # what stands in for MNIST where it cannot be had


class DataSet(Struct, frozen=True, kw_only=True):
    """A data set on disk: `folder` holds one `.npy` of uint8 per part; the checksum covers every value and shape."""

    name: str
    folder: str
    checksum: str
    train_examples: int
    test_examples: int
    shape: tuple[int, int, int]
    classes: int


def check_name(name: str) -> None:
    """Raise `DataError` where there is no data set of that name."""
    if name not in DATASETS:
        raise DataError(
            f"no data set is named '{name}'",
            expected=f"one of {', '.join(DATASETS)}",
            hint=closest(name, [*DATASETS]),
        )


class DataError(UserError):
    """A data set that cannot be had, or whose files are not what they should be."""


class Places(Struct, frozen=True, kw_only=True):
    """Where data may lie: a directory that the user named (or None), and the cache that we may write."""

    directory: Path | None
    cache: Path
