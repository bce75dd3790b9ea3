"""The OpenBLAS of SciPy's own package, to which Theano links its compiled functions.

Without a BLAS to link to, Theano calls NumPy's product from its C code. A convolution would call it
from several threads, which NumPy does not allow. NumPy's own OpenBLAS cannot be linked: the names
of its functions have a suffix.
"""

from __future__ import annotations

import ctypes
from pathlib import Path

import scipy.linalg  # its modules load OpenBLAS, and the libraries that OpenBLAS needs

from backends.contract import Unsupported


def link_flags() -> str:
    """The value of Theano's flag `blas.ldflags`.

    Raises:
        Unsupported: SciPy's package has no OpenBLAS.
    """
    return f"-l:{_library().name}"


def folder() -> str:
    """The folder of the library."""
    return str(_library().parent)


def set_threads(threads: int) -> None:
    """Set the number of threads of a matrix product."""
    _loaded().openblas_set_num_threads(threads)


def threads() -> int:
    """The number of threads of a matrix product, as OpenBLAS reports it."""
    return int(_loaded().openblas_get_num_threads())


def version() -> str:
    """The name, version and processor type of the library: "OpenBLAS 0.3.18 ... SkylakeX"."""
    get_config = _loaded().openblas_get_config
    get_config.restype = ctypes.c_char_p
    return str(get_config().decode())


def _library() -> Path:
    folder = Path(scipy.linalg.__file__).parents[2] / "scipy.libs"
    found = sorted(folder.glob("libopenblas*.so*"))
    if not found:
        raise Unsupported(
            "this SciPy has no OpenBLAS to which Theano can link: `bench environment create theano`"
            " installs one that has"
        )
    return found[0]


def _loaded() -> ctypes.CDLL:
    return ctypes.CDLL(str(_library()))
