"""Caffe's device: the only build that pip can install is for CPUs."""

from __future__ import annotations

from backends.caffe.family import FAMILY
from backends.contract import Job, Unsupported
from backends.precision import refuse_gaps


def require_cpu(job: Job) -> None:
    """Check the job's device and precision.

    Raises:
        Unsupported: this build of Caffe does not have them.
    """
    if job.device != "cpu":
        kind = job.device.partition(":")[0]
        raise Unsupported(
            f"Caffe reports no {kind} device: its only build on the Python package index is for"
            " CPUs"
        )
    refuse_gaps(job, FAMILY)
