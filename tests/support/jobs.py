"""Jobs, and the backends that most tests are about."""

from __future__ import annotations

from functools import cache

from backends.contract import Job
from backends.registry import BACKENDS, DEFAULT_BACKENDS
from specs.loading import find_suite, find_workload
from specs.model import Workload

FRAMEWORKS = DEFAULT_BACKENDS
# The other frameworks of the course, which run only when named.
COURSE = tuple(
    name
    for name in find_suite("course-frameworks").backends or ()
    if name in BACKENDS and name not in FRAMEWORKS
)
VARIANTS = tuple(
    name for name, backend in BACKENDS.items() if backend.variant_of and not backend.experiment
)

# Read once each, as thousands of jobs are made.
named = cache(find_workload)


def make_job(workload: Workload | str = "softmax", **changes) -> Job:
    """A small CPU job; `changes` replaces any of its fields."""
    spec = named(workload) if isinstance(workload, str) else workload
    fields = {
        "workload": spec,
        "dataset": "mnist-5k",
        "mode": "matched",
        "backend": "reference",
        "device": "cpu",
        "threads": 1,
        "seed": 0,
        "precision": "float32",
        "compiled": False,
        "deterministic": False,
        "epochs": 1,
        "batch_size": 32,
        "round": 0,
    }
    return Job(**{**fields, **changes})
