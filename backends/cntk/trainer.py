"""CNTK's adapter: `backends.cntk.near_trainer` does the work, in Python 3.6."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backends.cntk.family import FAMILY
from backends.contract import Job, Unsupported
from backends.far.far import Far
from backends.precision import refuse_gaps

if TYPE_CHECKING:  # it runs in the child; the import makes its code a part of a record's key
    from backends.cntk import near_trainer  # noqa: F401


class Cntk(Far):
    """`Trainer.train_minibatch` over given batches, from given weights."""

    near = "backends.cntk.near_trainer:Network"
    environment = "cntk"

    def __init__(self, job: Job, python: str) -> None:
        if job.device != "cpu":
            raise Unsupported(
                "the environment has CNTK's package for CPUs; that for GPUs is of 2019"
                " and for CUDA 10"
            )
        refuse_gaps(job, FAMILY)
        super().__init__(job, python)
