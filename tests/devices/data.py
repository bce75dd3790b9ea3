"""Jobs and examples for the files of this folder, each of which asks one framework where it works.

They run in the framework's environment, from the project's folder (`python -m
tests.devices.pytorch`), and print their findings as one line of JSON.
"""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from backends.registry import entry
from bench.worker.verification.models import MODELS
from specs.initial import initial_weights
from specs.model import Workload
from tests.support.jobs import make_job

SIZE = 16  # of a batch
EXAMPLES = 6 * SIZE + 5  # also a partial batch
DENORMAL = 1e-39  # in float32; the smallest normal number is 1.2e-38


def job_of(backend, workload, **changes):
    """A job of a backend; the workload is that of a model of the verification, by name."""
    workload = workload if isinstance(workload, Workload) else MODELS[workload]
    job = make_job(workload, backend=backend, batch_size=SIZE, **changes)
    return replace(job, compiled=entry(backend).compiles_on(job.device))


def examples_of(workload):
    """Images, labels and initial weights."""
    random = np.random.default_rng(0)
    images = random.random((EXAMPLES, *workload.input.shape), np.float32)
    labels = random.integers(0, workload.input.classes, EXAMPLES)
    return images, labels, initial_weights(workload, 0)


def loaded(adapter, job):
    """A backend of this job that has weights and examples."""
    images, labels, weights = examples_of(job.workload)
    backend = adapter(job)
    backend.set_weights(weights)
    backend.load(images, labels)
    return backend


def counted(count, steps=(2, 6)):
    """How many operations a training step has, by name, and how many an epoch has besides.

    Args:
        count: the operations of an epoch of so many examples, name -> number.
        steps: the numbers of steps in two epochs.
    """
    few, many = (count(number * SIZE) for number in steps)
    growth = {name: (many[name] - few.get(name, 0)) / (steps[1] - steps[0]) for name in many}
    per_step = {name: number for name, number in growth.items() if number}
    once = {name: number - steps[0] * growth.get(name, 0) for name, number in few.items()}
    return per_step, {name: number for name, number in once.items() if number}
