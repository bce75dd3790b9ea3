"""scikit-learn's device, threads and settings, the same for all adapters and the engine."""

from __future__ import annotations

from typing import Any

from threadpoolctl import threadpool_info, threadpool_limits

from backends.contract import Job, Unsupported
from backends.precision import refuse_gaps
from backends.sklearn.family import FAMILY


def configure(job: Job) -> None:
    """Check the job's device and precision, and set the number of threads.

    Raises:
        Unsupported: scikit-learn does not have them.
    """
    if job.device != "cpu":
        kind = job.device.partition(":")[0]
        raise Unsupported(f"scikit-learn reports no {kind} device: its networks train on the CPU")
    refuse_gaps(job, FAMILY)
    if job.compiled:
        raise Unsupported("scikit-learn has no compiler")
    # The libraries took the number from the environment when they were loaded; this also holds
    # where no variable is set.
    threadpool_limits(limits=job.threads)


def thread_settings() -> dict[str, str | int | bool | None]:
    """The threads that the loaded libraries report: OpenBLAS of NumPy and of SciPy, and OpenMP."""
    pools = threadpool_info()
    return {
        "threads": max(pool["num_threads"] for pool in pools),
        "blas": ", ".join(sorted({_version(pool) for pool in pools if pool["user_api"] == "blas"})),
    }


def _version(pool: dict[str, Any]) -> str:
    """The library of a pool of threads: "openblas 0.3.31 SkylakeX"."""
    return f"{pool['internal_api']} {pool['version']} {pool.get('architecture', '')}".strip()
