"""Chainer's device, configuration and threads, the same for the adapter and the engine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from threadpoolctl import threadpool_info, threadpool_limits

from backends.chainer.family import FAMILY
from backends.contract import Job, Unsupported
from backends.precision import refuse_gaps

# Other modules that an adapter imports come after this one, so that this error is the first.
try:
    import chainer
except (ImportError, AttributeError) as error:  # NumPy 2 lacks attributes
    raise ImportError(
        f"Chainer cannot be imported ({error}): it needs NumPy 1, setuptools before 74 and Python"
        " 3.11 or older, as `bench environment create chainer` installs them"
    ) from error


def configure(job: Job) -> None:
    """Check the job's device and precision, and set Chainer's configuration and the threads.

    Raises:
        Unsupported: Chainer does not have the device or the precision.
    """
    if job.device != "cpu":
        raise Unsupported(_without(job.device.partition(":")[0]))
    refuse_gaps(job, FAMILY)
    if job.compiled:
        raise Unsupported("Chainer has no compiler")
    # Variables of the environment (CHAINER_DTYPE, CHAINER_DEBUG, ...) change these defaults.
    config = chainer.config
    config.dtype = np.dtype(np.float32)
    config.debug = False
    config.type_check = True
    config.use_ideep = "never"
    config.lazy_grad_sum = False
    config.enable_backprop = True
    config.train = True
    # Chainer has no threads of its own: they are those of NumPy's matrix product.
    threadpool_limits(limits=job.threads)


def seed_dropout(seed: int) -> None:
    """Seed NumPy's global generator, from which Chainer draws weights and dropout's masks."""
    np.random.seed(seed)  # noqa: NPY002 - Chainer has no generator of its own


@contextmanager
def prediction() -> Iterator[None]:
    """Compute as for a prediction: without dropout, with running averages, without a graph."""
    with chainer.using_config("train", False), chainer.no_backprop_mode():  # noqa: FBT003
        yield


def chainer_settings() -> dict[str, str | int | bool | None]:
    """The configuration that Chainer reports, and the threads and name of NumPy's library."""
    pools = [pool for pool in threadpool_info() if pool["user_api"] == "blas"]
    return {
        "threads": max((pool["num_threads"] for pool in pools), default=None),
        "blas": ", ".join(sorted({_version(pool) for pool in pools})) or "unknown",
        "default_dtype": str(chainer.get_dtype()),
        "ideep": chainer.config.use_ideep,
        "debug": chainer.config.debug,
    }


def _without(kind: str) -> str:
    """Why a job on this kind of device is not supported."""
    if kind != "cuda":
        return f"Chainer reports no {kind} device: it has none but CPUs and NVIDIA GPUs"
    if chainer.backends.cuda.available:
        return "this adapter trains Chainer on the CPU only; it was never run with CuPy"
    return (
        "Chainer reports no cuda device: on NVIDIA GPUs it computes with CuPy, version 7.7 to 7.8,"
        " which is not installed"
    )


def _version(pool: dict[str, Any]) -> str:
    """The library of a pool of threads: "openblas 0.3.20 SkylakeX"."""
    return f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
