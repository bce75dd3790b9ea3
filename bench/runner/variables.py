"""Decides which environment variables a worker gets.

A worker inherits most variables, as a site may need them. Variables that change what a framework
computes, or how fast, are left out: else two users of one machine would get different results, and
no record would say why. `--variable NAME=VALUE` sets one on purpose; the record and its key contain
it.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple

# Variables that begin with one of these are left out.
_LEFT_OUT = (
    # Python's own
    *("PYTHONHOME", "PYTHONSTARTUP"),
    # the frameworks and their compilers
    *("XLA_", "TF_", "TF2_", "JAX_", "JAXLIB_", "TORCH", "PYTORCH_", "TRITON_", "KERAS_"),
    *("MXNET_", "CHAINER_", "THEANO_FLAGS"),
    # CUDA and its libraries; CUDA_HOME, CUDA_MPS_* and the like say where things are
    *("CUDA_LAUNCH_BLOCKING", "CUDA_MODULE_LOADING", "CUDA_DEVICE_MAX_CONNECTIONS"),
    *("CUDA_CACHE_DISABLE", "CUDA_FORCE_PTX_JIT", "CUDA_DISABLE_PTX_JIT"),
    *("CUBLAS", "CUDNN_", "NVIDIA_TF32_OVERRIDE"),
    # the connections between GPUs; what a site must say about its network is in `_KEPT`
    "NCCL_",
    # arithmetic on CPUs
    *("OMP_", "GOMP_", "KMP_", "MKL_", "OPENBLAS_", "GOTO_", "BLIS_", "VECLIB_", "NUMEXPR_"),
    *("DNNL_", "ONEDNN_"),
    # the C library's allocator: one of them changes the time of PyTorch's CNN to 0.8 or 1.8 times
    *("MALLOC_", "GLIBC_TUNABLES"),
)
# Libraries with threads of their own take the number of threads from one of these.
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")
# Variables that follow from a job -> the option with which a user chooses them.
FROM_OPTIONS = {
    **dict.fromkeys(THREADS, "--threads"),
    **dict.fromkeys(("CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "JAX_PLATFORMS"), "--device"),
    "KERAS_BACKEND": "--backend",
}
_KEPT = (
    # Terraform's, not TensorFlow's
    *("TF_CLI_", "TF_VAR_"),
    # NCCL may find no other node without them
    *("NCCL_SOCKET_IFNAME", "NCCL_SOCKET_FAMILY", "NCCL_IB_HCA", "NCCL_IB_GID_INDEX"),
    "NCCL_NET_PLUGIN",
)
# A file of LD_PRELOAD whose name begins with one of these replaces the C library's allocator.
_ALLOCATORS = ("libjemalloc", "libtcmalloc", "libmimalloc", "libhoard")
# A file whose name begins with one of these is a library that our environments contain; another
# version in LD_LIBRARY_PATH would be loaded instead.
_LIBRARIES = ("libcudart", "libcudnn", "libcublas", "libnccl")
# The driver's library; some containers have it only in a folder of LD_LIBRARY_PATH.
_DRIVER = "libcuda.so.1"


class Inherited(NamedTuple):
    """The variables that a worker inherits.

    Attributes:
        variables: name -> value.
        dropped: what it does not inherit, sorted: names, "LD_LIBRARY_PATH=FOLDER" for each folder
            that is removed from that variable, and "LD_PRELOAD=FILE" for each file. Variables that
            follow from an option, and Python's own, are not listed.
    """

    variables: dict[str, str]
    dropped: tuple[str, ...]


def inherited(environ: Mapping[str, str], *, is_own: bool) -> Inherited:
    """The variables that a worker inherits from the bench.

    Args:
        environ: the bench's variables.
        is_own: whether the bench made the environment of the worker's interpreter. The worker then
            gets no PYTHONPATH, as a cluster's modules may add packages to it, and no folder of
            LD_LIBRARY_PATH with libraries of CUDA.
    """
    names = {name for name in environ if _is_left_out(name)}
    if is_own:
        names.add("PYTHONPATH")
    dropped = measured(names - FROM_OPTIONS.keys())
    variables = {name: value for name, value in environ.items() if name not in names}
    if preloaded := variables.pop("LD_PRELOAD", ""):
        files = preloaded.replace(":", " ").split()
        others = [file for file in files if not Path(file).name.startswith(_ALLOCATORS)]
        dropped += [f"LD_PRELOAD={file}" for file in files if file not in others]
        if others:
            variables["LD_PRELOAD"] = ":".join(others)
    if is_own and (path := variables.pop("LD_LIBRARY_PATH", "")):
        folders = path.split(os.pathsep)
        kept = [folder for folder in folders if not (folder and _has_cuda(Path(folder)))]
        dropped += [f"LD_LIBRARY_PATH={folder}" for folder in folders if folder not in kept]
        if kept:
            variables["LD_LIBRARY_PATH"] = os.pathsep.join(kept)
    return Inherited(variables, tuple(sorted(dropped)))


def measured(names: Iterable[str]) -> list[str]:
    """The names of the variables that change what is measured, sorted."""
    return sorted(name for name in names if _is_left_out(name) and not name.startswith("PYTHON"))


def _is_left_out(name: str) -> bool:
    return name.startswith(_LEFT_OUT) and not name.startswith(_KEPT)


def _has_cuda(folder: Path) -> bool:
    """Whether a folder has libraries of CUDA, but not the driver's library."""
    try:
        names = {file.name for file in folder.iterdir()}
    except OSError:
        return False
    return _DRIVER not in names and any(name.startswith(_LIBRARIES) for name in names)
