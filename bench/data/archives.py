"""Finds, downloads, checks and reads the published files of MNIST and Fashion-MNIST."""

from __future__ import annotations

import gzip
import hashlib
import logging
from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from io import FileIO
from pathlib import Path
from threading import Thread
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from msgspec import Struct

from bench.data.dataset import DataError, Places
from bench.data.healing import heal
from specs.files import open_regular, read_regular, remove_leftovers

Arrays = dict[str, npt.NDArray[np.uint8 | np.uint32]]


class Archive(Struct, frozen=True, kw_only=True):
    """A data set that is published as four files.

    Attributes:
        files: name -> SHA-256, the training files first.
        sizes: name -> bytes.
        mirrors: the URLs of folders with the files.
    """

    title: str
    files: Mapping[str, str]
    sizes: Mapping[str, int]
    mirrors: tuple[str, ...]


_NAMES = (
    "train-images-idx3-ubyte.gz",
    "train-labels-idx1-ubyte.gz",
    "t10k-images-idx3-ubyte.gz",
    "t10k-labels-idx1-ubyte.gz",
)
_MNIST = (
    "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
    "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
    "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
    "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
)
_FASHION = (
    "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
    "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
    "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
    "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
)
ARCHIVES: Mapping[str, Archive] = MappingProxyType(
    {
        "mnist": Archive(
            title="60,000 + 10,000 handwritten digits (LeCun, Cortes, Burges)",
            files=dict(zip(_NAMES, _MNIST, strict=True)),
            sizes=dict(zip(_NAMES, (9_912_422, 28_881, 1_648_877, 4_542), strict=True)),
            mirrors=(
                "https://storage.googleapis.com/cvdf-datasets/mnist/",
                "https://ossci-datasets.s3.amazonaws.com/mnist/",
            ),
        ),
        "fashion-mnist": Archive(
            title="60,000 + 10,000 articles of clothing, of MNIST's shape (Zalando)",
            files=dict(zip(_NAMES, _FASHION, strict=True)),
            sizes=dict(zip(_NAMES, (26_421_880, 29_515, 4_422_102, 5_148), strict=True)),
            mirrors=(
                "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/",
                "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
            ),
        ),
    }
)
# SHA-256 of the arrays in the cache that may be used instead of the original files. The checksum of
# Fashion-MNIST is not known yet.
ARRAYS: Mapping[str, str] = MappingProxyType(
    {
        "mnist": "d478ed1a33204036686c3dc0f06dfcf2e4f55019697acb6e47e614a6461cc285",
        "mnist-12k": "fd90ee7c7718e94db2d022a60f3848002a28d7eab7141328ae5f8214e11bc3a5",
        "mnist-expanded": "e8cfea724a06e5c0f7fa2a1f5a049f0bdde48ea248f496df9748519ba0c1c1b5",
    }
)
_ATTEMPTS = 2  # per mirror; the second one follows when all mirrors have failed
# The time limits to connect, and between two packets.
_TIMEOUT_SECONDS = (3.0, 5.0)
# A download is given up when it is 30 s behind the slowest mirror worth waiting for.
_LEAST_SECONDS, _SLOWEST = 30.0, 50_000  # bytes per second
_TICK_SECONDS = 0.2
_MOST_BYTES = 100_000_000  # of a file in the user's folder
_IDX_HEADERS = MappingProxyType({3: 16, 1: 8})  # bytes before the data, by number of dimensions


def fetch(name: str, cache: Path) -> Path:
    """Download the missing files of an archive into the cache, and check each.

    Returns:
        The folder of the files.

    Raises:
        DataError: no mirror has a file with the right checksum, or the cache is not writable.
    """
    import pooch  # takes 0.2 s, and only a download needs it

    pooch.get_logger().setLevel(logging.ERROR)
    archive, folder = ARCHIVES[name], cache / name
    for file, checksum in archive.files.items():
        _clear(folder / file, archive.sizes[file])
        failures: list[str] = []
        for mirror in archive.mirrors * _ATTEMPTS:
            try:
                pooch.retrieve(
                    mirror + file,
                    f"sha256:{checksum}",
                    fname=file,
                    path=folder,
                    downloader=partial(_download, size=archive.sizes[file]),
                )
                break
            # The errors of `requests` are OSErrors; a wrong checksum is a ValueError.
            except (OSError, ValueError) as error:
                failures.append(f"{mirror} ({type(error).__name__})")
        else:
            raise DataError(
                f"{name} could not be downloaded: {file} from {', '.join(dict.fromkeys(failures))}",
                expected="at least one mirror that answers with the right file",
                hint="use --data-dir FOLDER with a folder of the four original .gz files, or"
                " --dataset mnist-5k",
            )
    remove_leftovers(folder, "tmp*")  # Pooch's own
    return folder


class _TooLargeError(OSError):
    """A mirror sends more bytes than the file has."""


class _AtMost(FileIO):
    """A file for writing that accepts at most `size` bytes."""

    def __init__(self, path: str, size: int) -> None:
        super().__init__(path, "wb")
        self._size, self.received = size, 0

    def write(self, content: Any) -> int:
        """Write some bytes; raises `_TooLargeError` if they are too many."""
        self.received += len(content)
        if self.received > self._size:
            raise _TooLargeError
        return super().write(content)


def _download(url: str, path: str, _: object, *, size: int) -> None:
    """Download a file of a known size.

    A mirror may be slow without ever exceeding the time limit between packets. So the download runs
    in a thread, which is abandoned when it is too slow.

    Raises:
        OSError: the mirror failed, or sent too many bytes.
        TimeoutError: the mirror is too slow.
    """
    import pooch  # see `fetch`

    errors: list[BaseException] = []
    answers = ExitStack()  # pooch does not close them after an error
    file = _AtMost(path, size)

    def keep(answer: Any, *_: object, **__: object) -> None:
        answers.callback(answer.close)

    def download() -> None:
        downloader = pooch.HTTPDownloader(
            timeout=_TIMEOUT_SECONDS, progressbar=True, hooks={"response": keep}
        )
        try:
            with answers, file:
                downloader(url, file, None)
        except Exception as error:  # noqa: BLE001 - it is raised in the thread that waits
            errors.append(error)

    thread = Thread(target=download, daemon=True)
    waited = 0.0
    thread.start()
    while thread.is_alive():
        if waited > _LEAST_SECONDS + file.received / _SLOWEST:
            raise TimeoutError
        thread.join(_TICK_SECONDS)
        waited += _TICK_SECONDS
    for error in errors:
        raise error


def _clear(path: Path, size: int) -> None:
    """Remove anything at the path of an archive's file that cannot be it: a pipe, a huge file.

    Raises:
        OSError: the path cannot be removed.
    """
    try:
        open_regular(path, size).close()
    except FileNotFoundError:
        if path.is_symlink():
            heal(path)
    except OSError:
        heal(path)


def place(name: str, places: Places) -> Path:
    """The folder for the files of an archive; the files may be missing.

    It is the first of these that applies: the folder with the archive's name in the user's folder;
    the user's folder itself, if it is named after the archive (for MNIST: if it is not named after
    another archive); a folder of the cache. The name decides, as all archives have the same file
    names.
    """
    if places.directory is None:
        return places.cache / name
    if (places.directory / name).is_dir():
        return places.directory / name
    is_of_other_archive = places.directory.name in ARCHIVES and places.directory.name != name
    if name in ("mnist", places.directory.name) and not is_of_other_archive:
        return places.directory
    return places.cache / name


def missing(name: str, folder: Path) -> list[str]:
    """The names of an archive's files that a folder lacks."""
    return [file for file in ARCHIVES[name].files if not (folder / file).is_file()]


def find(name: str, places: Places) -> Path:
    """The folder with an archive's files; missing files are downloaded only into the cache.

    Raises:
        DataError: files are missing in the user's folder, or the download failed (see `fetch`).
    """
    folder = place(name, places)
    if folder == places.cache / name:
        return fetch(name, places.cache)
    if absent := missing(name, folder):
        raise DataError(
            f"{folder}: missing {', '.join(absent)}",
            expected=f"the four original files of {name}",
            hint="name another folder with --data-dir; without --data-dir they are downloaded",
        )
    return folder


def read(name: str, folder: Path) -> Arrays:
    """The arrays of an archive, read from its four files.

    Raises:
        DataError: a file cannot be read, or differs from the published one.
    """
    files = ARCHIVES[name].files
    train_images, train_labels, test_images, test_labels = (
        _read_idx(folder / file, files[file]) for file in files
    )
    return {
        "train_images": train_images[..., None],  # (60000, 28, 28, 1)
        "train_labels": train_labels,
        "test_images": test_images[..., None],  # (10000, 28, 28, 1)
        "test_labels": test_labels,
    }


def check_file(name: str, folder: Path, file: str) -> None:
    """Check one file of an archive.

    Raises:
        DataError: the file cannot be read, or differs from the published one.
    """
    _read_idx(folder / file, ARCHIVES[name].files[file])


def _read_idx(path: Path, checksum: str) -> npt.NDArray[np.uint8]:
    """The array of one original file, after a check of its checksum."""
    try:
        content = read_regular(path, _MOST_BYTES)
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read: {error.strerror}", expected="a readable file"
        ) from error
    actual = hashlib.sha256(content).hexdigest()
    if actual != checksum:
        raise DataError(
            f"{path}: corrupt or truncated, {len(content):,} bytes with SHA-256 {actual[:16]}...",
            expected=f"the original file, with SHA-256 {checksum[:16]}...",
            hint="delete it and fetch it again: bench data fetch",
        )
    values = gzip.decompress(content)
    dimensions = values[3]
    shape = np.frombuffer(values, ">i4", count=dimensions, offset=4)
    return np.frombuffer(values, np.uint8, offset=_IDX_HEADERS[dimensions]).reshape(shape)
