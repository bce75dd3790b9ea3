"""Values that are computed from a record or a workload."""

from __future__ import annotations

import hashlib
from statistics import median
from typing import Any

import msgspec

from bench.machine import disturbance
from bench.machine.host import gpu_of
from bench.records.job import Record, backend_name, without_labels
from specs.model import Workload
from specs.shapes import infer_shapes
from specs.width import narrowed


def spec(workload: Workload) -> str:
    """Six hexadecimal digits of a hash of everything that decides a workload's training."""
    content = msgspec.json.encode(without_labels(workload), order="sorted")
    return hashlib.sha256(content).hexdigest()[:6]


def family(workload: Workload) -> str:
    """The name of the original workload, if this one was widened; else its own name."""
    return narrowed(workload)[0].name


def family_spec(workload: Workload) -> str:
    """The `spec` of the original workload, see `family`."""
    return spec(narrowed(workload)[0])


def width(workload: Workload) -> int:
    """The width of a workload as a multiple of the original width."""
    return narrowed(workload)[1]


def parameters(workload: Workload) -> int:
    """The number of trained parameters."""
    return sum(shape.parameter_count for shape in infer_shapes(workload))


def training_flops(workload: Workload) -> int:
    """Operations of the matrix products of one training example, forward and backward."""
    return sum(shape.training_flops for shape in infer_shapes(workload))


def backend(record: Record) -> str:
    """The backend's name; see `bench.records.job.backend_name`."""
    return backend_name(record.job)


def device_name(record: Record) -> str:
    """The model of the job's CPU or GPU."""
    gpu = gpu_of(record.machine, record.job.device)
    return gpu.name if gpu else record.machine.cpu


def published_accuracy(record: Record) -> float | None:
    """The published accuracy (0..1), or None if the job was not the published training.

    The published training has the recipe's data set, epochs and batch size.
    """
    recipe, job = record.job.workload.recipe, record.job
    published = recipe.dataset, recipe.epochs, recipe.batch_size
    whole = published == (record.data.name, job.epochs, job.batch_size)
    return next((r.accuracy for r in job.workload.references), None) if whole else None


def train_examples(record: Record) -> int:
    """The examples of one training epoch, without the last partial batch if it is dropped."""
    examples, batch_size = record.data.train_examples, record.job.batch_size
    dropped = record.job.workload.recipe.last_partial_batch == "drop"
    return examples - (examples % batch_size if dropped else 0)


def disturbed(record: Record) -> str:
    """Why the machine was busy during the job, as text; "" if it was not."""
    return disturbance.reasons(record.disturbance)


def setting(name: str, record: Record) -> Any:
    """A setting that the framework reported; None if it did not report this setting."""
    return record.startup.settings.get(name) if record.startup else None


def host_energy_step_seconds(record: Record) -> float | None:
    """The longest step of the counter of the CPUs beside a GPU; None if there is none."""
    counter = record.startup.host_energy if record.startup else None
    return counter.step_seconds if counter else None


def short_epoch_seconds(record: Record) -> float | None:
    """The median time of a job's short epochs; None if there are none."""
    return median(record.short_epochs.wall_seconds) if record.short_epochs else None


def verified_deviation(record: Record) -> float | None:
    """The largest deviation in a job's own verification, in tolerances; None without one."""
    verification = record.verification
    return None if verification is None or not verification.deviations else verification.worst[1]
