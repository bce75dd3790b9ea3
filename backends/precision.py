"""Where a precision is supported: the rule of the hardware, and the reasons of the frameworks."""

from __future__ import annotations

from collections.abc import Callable

from backends.contract import Job, Unsupported, kind_of
from backends.family import FEATURE_OF_PRECISION, Family

# NVIDIA's Ampere (compute capability 8.0) is the first with tensor cores for both formats. Before
# it a GPU has no TF32, and computes bfloat16 by float32.
_SINCE = (8, 0)


def require_hardware(job: Job, capability: Callable[[], tuple[int, int]]) -> None:
    """Check that the job's device has its precision.

    Args:
        job: its device and precision matter.
        capability: returns the compute capability of the NVIDIA GPU that the worker sees.

    Raises:
        Unsupported: the device does not have it.
    """
    kind = kind_of(job.device)
    if job.precision == "tf32" and kind != "cuda":
        raise Unsupported(f"TF32 is a format of NVIDIA's tensor cores, and the device is {kind}")
    if job.precision != "float32" and kind == "cuda":
        found, name = capability(), FEATURE_OF_PRECISION[job.precision]
        if found < _SINCE:
            raise Unsupported(
                f"{name} needs compute capability 8.0, and this GPU has {found[0]}.{found[1]}"
            )


def refuse_gaps(job: Job, family: Family) -> None:
    """Check that a framework has the job's precision.

    Args:
        job: its precision matters.
        family: the framework's; its gaps say why it lacks a precision.

    Raises:
        Unsupported: with the reason of the gap.
    """
    for gaps in family.gaps.values():
        gap = gaps.get(FEATURE_OF_PRECISION.get(job.precision, ""))
        if gap is not None:
            raise Unsupported(gap.reason)
