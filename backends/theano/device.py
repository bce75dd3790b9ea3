"""Theano's device, threads and settings, the same for the adapter and the engine."""

from __future__ import annotations

import ctypes

from backends.contract import Job, Unsupported
from backends.precision import refuse_gaps
from backends.theano import blas
from backends.theano.family import FAMILY
from backends.theano.framework import NEEDS, theano


def configure(job: Job) -> None:
    """Check the job's device and precision, and set the number of threads.

    It must be called before the first function is compiled.

    Raises:
        Unsupported: Theano does not have them, or there is no compiler.
    """
    if job.device != "cpu":
        kind = job.device.partition(":")[0]
        raise Unsupported(
            f"Theano reports no {kind} device: its GPU code needs libgpuarray, which no package"
            " index has as a package for pip"
        )
    refuse_gaps(job, FAMILY)
    if not job.compiled or job.mode != "matched":
        raise Unsupported("this adapter trains compiled, in matched mode")
    if not theano.config.cxx:
        raise Unsupported(f"{NEEDS}; none was found, or THEANO_FLAGS says cxx=")
    theano.config.linker = "cvm"  # not a flag, as Theano has it only where it has a compiler
    # With OpenMP, convolutions and operations on large arrays use several threads. Convolutions use
    # no other: Theano sets OpenBLAS to one thread during them.
    theano.config.openmp = job.threads > 1
    theano.config.deterministic = "more" if job.deterministic else "default"
    blas.set_threads(job.threads)
    if theano.config.openmp:
        _openmp().omp_set_num_threads(job.threads)


def theano_settings() -> dict[str, str | int | bool | None]:
    """Theano's settings, as it and its libraries report them."""
    return {
        "threads": blas.threads(),
        "openmp_threads": _openmp().omp_get_max_threads() if theano.config.openmp else 1,
        "blas": blas.version(),
        "blas_flags": theano.config.blas.ldflags,
        "dtype": theano.config.floatX,
        "optimizer": theano.config.optimizer,
        "linker": theano.config.linker,
        "allow_gc": theano.config.allow_gc,
        "deterministic": theano.config.deterministic,
        "cxx": theano.config.cxx,
        "cxx_flags": theano.config.gcc.cxxflags,
        "device": theano.config.device,
    }


def _openmp() -> ctypes.CDLL:
    """The library of g++ whose threads the compiled functions use."""
    return ctypes.CDLL("libgomp.so.1")
