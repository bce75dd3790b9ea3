"""Estimates the memory that a job needs at least, before it starts.

The estimate counts only what every backend must hold at the same time, so that no job that could
run is refused. In the 174 jobs that ended ok in `results/` when this was written, it was 0.03 to
0.60 of the measured peak: frameworks themselves use 300 to 600 MB, and most copy the data.
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

from backends.contract import Job, kind_of
from backends.formulas import Updates
from specs.model import Workload
from specs.shapes import FLOAT_BYTES, infer_shapes

_DRAWN_BYTES = 12  # of an initial weight while it is drawn: float64, and its copy in float32
_ELSEWHERE = "spark"  # the kind of a device whose memory is on other machines


class Needs(NamedTuple):
    """The bytes that a job needs at least, on the machine and on its GPU."""

    host: int
    device: int


def needs_of(job: Job, examples: int) -> Needs:
    """The memory that a job needs at least.

    Args:
        job: the job.
        examples: the number of examples of its data set, for training and test.
    """
    workload = job.workload
    images = examples * prod(workload.input.shape) * FLOAT_BYTES
    drawn = _DRAWN_BYTES * _largest_weight(workload)
    training = _training_bytes(job)
    if kind_of(job.device) == "cpu":
        return Needs(images + max(drawn, training), 0)
    return Needs(images + drawn, 0 if kind_of(job.device) == _ELSEWHERE else training)


def _training_bytes(job: Job) -> int:
    """The bytes of weights, optimizer state, one weight's gradient, and one layer's activations.

    Only one gradient counts, as a compiler may update each weight as soon as it has its gradient.
    In native mode the optimizer's state does not count, as the backend chooses the optimizer.
    """
    workload = job.workload
    layers = infer_shapes(workload)
    slots = Updates(spec=workload.optimizer, sqrt=abs, expm1=abs).initial_slots()
    copies = 1 + (len(slots) if job.mode == "matched" else 0)
    weights = copies * sum(layer.parameter_count for layer in layers) + _largest_weight(workload)
    activations = max(layer.forward_bytes for layer in layers if layer.parameters)
    if job.precision == "bfloat16":
        activations //= 2
    return FLOAT_BYTES * weights + activations * (job.batch_size // job.ranks)


def _largest_weight(workload: Workload) -> int:
    """The number of values in the largest weight."""
    layers = infer_shapes(workload)
    return max(prod(shape) for layer in layers for shape in layer.parameters.values())
