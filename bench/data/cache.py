"""The cache of data sets, from which every worker reads the same arrays.

The parent writes a data set once, as `.npy` files of integers. A worker reads all of it before any
phase starts.
"""

from __future__ import annotations

import hashlib
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.data import archives
from bench.data.archives import Arrays, find, missing, place, read
from bench.data.dataset import DataError, DataSet, Places, check_name
from bench.data.derived import draw_synthetic, expand, first_12k, read_mnist_5k
from bench.data.healing import NEW, heal
from specs.files import open_regular, remove_leftovers
from specs.model import Input

_MOST_BYTES = 10**9  # of a file of arrays; the largest, of mnist-expanded, has 235 MB
_DIGITS = 16  # the number of digits of the checksum in a folder's name
_DERIVED_FROM_MNIST = MappingProxyType({"mnist-12k": first_12k, "mnist-expanded": expand})
_PARTS = ("train_images", "train_labels", "test_images", "test_labels")


def materialise(name: str, spec: Input, places: Places) -> DataSet:
    """Write a data set as arrays into the cache; download it first if necessary.

    Args:
        name: one of `DATASETS`.
        spec: the shape and classes for a synthetic data set.
        places: see `Places`.

    Raises:
        DataError: the name is unknown; files are missing, corrupt or truncated; no mirror answers;
            the cache is not writable.
    """
    check_name(name)
    arrays = _arrays(name, spec, places)
    checksum = _checksum(arrays)
    folder = places.cache / "arrays" / f"{name}-{checksum[:_DIGITS]}"
    if not _holds(folder, checksum):
        _write(folder, arrays, checksum)
    return DataSet(
        name=name,
        folder=str(folder),
        checksum=checksum,
        train_examples=len(arrays["train_labels"]),
        test_examples=len(arrays["test_labels"]),
        shape=tuple(arrays["train_images"].shape[1:]),
        classes=1 + int(max(arrays["train_labels"].max(), arrays["test_labels"].max())),
    )


def cached_arrays(name: str, cache: Path) -> Path | None:
    """The cache's folder with the arrays of a published data set; None if there is none."""
    checksum = archives.ARRAYS.get(name, "")
    folder = cache / "arrays" / f"{name}-{checksum[:_DIGITS]}"
    return folder if checksum and _holds(folder, checksum) else None


def _arrays(name: str, spec: Input, places: Places) -> Arrays:
    """The arrays of any data set; for arguments and errors see `materialise`."""
    if name == "mnist-5k":
        return read_mnist_5k()
    if name == "synthetic":
        return draw_synthetic(spec)
    if (arrays := _read_cached(name, places)) is not None:
        return arrays
    if name in _DERIVED_FROM_MNIST:
        return _DERIVED_FROM_MNIST[name](_arrays("mnist", spec, places))
    return read(name, find(name, places))


def _read_cached(name: str, places: Places) -> Arrays | None:
    """The arrays of a data set in the cache, if their checksum is in `archives.ARRAYS`.

    None if there are none, if the original files are available, or if the user named a folder.
    """
    archive = "mnist" if name in _DERIVED_FROM_MNIST else name
    folder = place(archive, places)
    if folder != places.cache / archive or not missing(archive, folder):
        return None
    folder_of_arrays = cached_arrays(name, places.cache)
    if folder_of_arrays is None:
        return None
    return {part: _load(folder_of_arrays / f"{part}.npy") for part in _PARTS}


def damaged_arrays(cache: Path) -> tuple[list[Path], list[Path]]:
    """All folders of arrays in the cache, and those whose checksum differs from their name."""
    folders = sorted((cache / "arrays").glob("[!.]*-" + "[0-9a-f]" * _DIGITS))
    return folders, [folder for folder in folders if not _holds(folder, folder.name[-_DIGITS:])]


def _checksum(arrays: Mapping[str, npt.NDArray[np.uint8 | np.uint32]]) -> str:
    digest = hashlib.sha256()
    for part in _PARTS:
        digest.update(f"{part}{arrays[part].shape}{arrays[part].dtype}".encode())
        digest.update(arrays[part].tobytes())
    return digest.hexdigest()


def _holds(folder: Path, checksum: str) -> bool:
    """Whether a folder holds undamaged arrays with this checksum (or its first digits)."""
    try:
        actual = _checksum({part: _load(folder / f"{part}.npy") for part in _PARTS})
    except Exception:  # noqa: BLE001 - NumPy raises many types for a damaged file
        return False
    return actual[:_DIGITS] == checksum[:_DIGITS]


def _load(path: Path) -> npt.NDArray[Any]:
    with open_regular(path, _MOST_BYTES) as file:
        return np.lib.format.read_array(file, allow_pickle=False)


def _write(folder: Path, arrays: Arrays, checksum: str) -> None:
    """Write all parts at once, as another run may read the cache at the same time."""
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        temporary = Path(tempfile.mkdtemp(dir=folder.parent, prefix=NEW))
        try:
            for part in _PARTS:
                np.save(temporary / f"{part}.npy", arrays[part])
            temporary.chmod(0o755)  # mkdtemp allows one user only, and a cache may be shared
            _put(temporary, folder, checksum)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        remove_leftovers(folder.parent, f"{NEW}*")
    except OSError as error:
        raise DataError(
            f"{folder.parent}: cannot be written: {error.strerror}",
            expected="a writable cache",
            hint="name another folder with the variable FRAMEWORK_BENCH_CACHE",
        ) from error


def _put(temporary: Path, folder: Path, checksum: str) -> None:
    """Rename a folder; replaces what has the new name, unless its arrays are the same."""
    try:
        temporary.replace(folder)
    except OSError:  # the name exists: it is damaged, or another run has just written it
        if not _holds(folder, checksum):
            heal(folder)
            temporary.replace(folder)
