"""Caffe: its net, its solvers and, where their formula differs, updates in NumPy.

The program in the old Python is `backends.caffe.near_caffe`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.caffe.device import require_cpu
from backends.caffe.structure import check_layers
from backends.contract import Job
from backends.far.far import Far

if TYPE_CHECKING:  # only the old Python can import it, but its code is part of a record's key
    from backends.caffe.near_caffe import NearCaffe  # noqa: F401


class Caffe(Far):
    """`net.forward()`, `net.backward()`, `solver.apply_update()`, batch by batch."""

    near = "backends.caffe.near_caffe:NearCaffe"
    environment = "caffe"

    def __init__(self, job: Job, python: str) -> None:
        require_cpu(job)
        check_layers(job.workload)
        super().__init__(job, python)
