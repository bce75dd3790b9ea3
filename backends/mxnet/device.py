"""MXNet's device, seed and settings, the same for the adapter and the engine."""

from __future__ import annotations

import ctypes
from pathlib import Path

from backends.contract import Job, Unsupported
from backends.mxnet.family import FAMILY
from backends.mxnet.library import mx
from backends.precision import refuse_gaps

# A graph is planned once, and its memory is kept.
STATIC = {"static_alloc": True, "static_shape": True}


def configure(job: Job) -> None:
    """Check the job's device and precision, and set the seed.

    MXNet has taken the number of threads from OMP_NUM_THREADS when it was loaded. The bench sets
    that variable.

    Raises:
        Unsupported: this MXNet does not have them.
    """
    if job.device != "cpu":
        kind = job.device.partition(":")[0]
        raise Unsupported(
            f"MXNet {mx.__version__} reports no {kind} device: its last builds on PyPI are for CPUs"
        )
    refuse_gaps(job, FAMILY)
    if job.compiled:
        raise Unsupported("MXNet has no compiler")
    mx.random.seed(job.seed)  # for dropout


def device_settings() -> dict[str, str | int | bool | None]:
    """The settings that MXNet and its libraries report.

    `threads` is OpenMP's number: oneDNN and MXNet's own operators use it. `blas_threads` is
    OpenBLAS's. Each is None where the library cannot be asked.
    """
    features = mx.runtime.Features()
    return {
        "threads": _ask("libgomp.so.1", "omp_get_max_threads"),
        "blas_threads": _ask(
            str(Path(mx.__file__).with_name("libopenblas.so.0")), "openblas_get_num_threads"
        ),
        "onednn": features.is_enabled("MKLDNN") and mx.util.getenv("MXNET_MKLDNN_ENABLED") != "0",
        "cuda": features.is_enabled("CUDA"),
        "engine": mx.util.getenv("MXNET_ENGINE_TYPE"),
        "safe_accumulation": mx.util.getenv("MXNET_SAFE_ACCUMULATION"),
    }


def _ask(library: str, function: str) -> int | None:
    """The number that a function of a loaded library returns."""
    try:
        return int(getattr(ctypes.CDLL(library), function)())
    except OSError:
        return None
