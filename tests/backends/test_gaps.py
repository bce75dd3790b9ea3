"""Every feature that a backend lacks is listed with a reason, and no listed feature works."""

from __future__ import annotations

import json
import os
import subprocess

import msgspec
import pytest

from backends.family import FEATURES, GAPS_OF_ALL
from backends.registry import BACKENDS, GAPS, adapter_of, refusal
from bench.records.files import PROJECT
from bench.worker.verification.models import EVERY
from specs.loading import find_suite, find_workload
from tests.support.jobs import COURSE, FRAMEWORKS, VARIANTS, make_job

# Constructs a job's adapter: what it prints is "runs", or why it does not.
CONSTRUCT = """
import importlib, json, sys, msgspec
from backends.contract import Job, Unsupported
for adapter, job in json.loads(sys.stdin.read()):
    module, _, name = adapter.partition(":")
    try:
        make = getattr(importlib.import_module(module), name)
        make(msgspec.convert(job, Job), *sys.argv[1:])
        print("runs")
    except Unsupported as error:
        print(str(error).replace("\\n", " "))
"""


@pytest.fixture
def construct(environments, course_environment):
    """A function: of each job of a backend "runs", or why its adapter is `Unsupported`."""

    def run(backend, jobs):
        course_environment(backend)
        python, of_framework = environments.of_worker(backend)
        pairs = [(adapter_of(backend, job.mode), msgspec.to_builtins(job)) for job in jobs]
        variables = {
            **os.environ,
            **BACKENDS[backend].variables,
            "PYTHONPATH": str(PROJECT),
            "CUDA_VISIBLE_DEVICES": "",
        }
        done = subprocess.run(
            [python, "-c", CONSTRUCT, *filter(None, [of_framework])],
            input=json.dumps(pairs),
            env=variables,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.splitlines()

    return run


@pytest.mark.framework
@pytest.mark.parametrize("backend", dict.fromkeys((*FRAMEWORKS, *VARIANTS, *COURSE)))
def test_a_feature_runs_or_is_a_gap_with_its_reason_and_no_listed_gap_works(backend, construct):
    compiled = BACKENDS[backend].compiled
    workload = "softmax-sgd" if refusal(backend, find_workload("softmax")) else "softmax"
    jobs = {
        name: make_job(workload, backend=backend, compiled=compiled, **changes)
        for name, changes in FEATURES.items()
    }
    gaps = GAPS.get(backend, {})
    possible = {
        name: job for name, job in jobs.items() if job.mode == "matched" or BACKENDS[backend].native
    }
    assert set(jobs) - set(possible) <= set(gaps)
    answers = dict(zip(possible, construct(backend, possible.values()), strict=True))
    print(answers)
    refused = {name for name, answer in answers.items() if answer != "runs"}
    assert refused == {"TF32", *(set(gaps) & set(possible))}, "a CPU has no TF32"
    for name in ("TF32", "bfloat16"):
        if name in refused:
            no_tensor_cores = "TF32 is a format of NVIDIA's tensor cores, and the device is cpu"
            assert answers[name] == (gaps[name].reason if name in gaps else no_tensor_cores)


@pytest.mark.framework
@pytest.mark.parametrize("backend", [name for name in BACKENDS if BACKENDS[name].refuses])
def test_a_backend_refuses_the_models_that_it_cannot_have_and_no_other(backend, construct):
    course = (part.workload for part in find_suite("course").workloads)
    models = {**EVERY, **{name: find_workload(name) for name in course}}
    answers = construct(backend, [make_job(model, backend=backend) for model in models.values()])
    refused = {name: refusal(backend, model) for name, model in models.items()}
    print(refused)
    assert [why or "runs" for why in refused.values()] == answers


def test_every_gap_is_of_a_backend_and_a_feature_and_says_why():
    for backend, gaps in GAPS.items():
        assert set(gaps) <= set(FEATURES), backend
        assert all(gap.reason for gap in gaps.values())
    assert set(GAPS) <= set(BACKENDS)
    assert not set(GAPS_OF_ALL) & set(FEATURES)
    assert all(gap.reason for gap in GAPS_OF_ALL.values())
