"""Every feature that a backend lacks is listed with a reason, and no listed feature works."""

from __future__ import annotations

import json
import os
import subprocess

import msgspec
import pytest

from backends.family import FEATURES
from backends.registry import BACKENDS, GAPS, adapter_of
from bench.records.files import PROJECT
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


@pytest.mark.framework
@pytest.mark.parametrize("backend", dict.fromkeys((*FRAMEWORKS, *VARIANTS, *COURSE)))
def test_a_feature_runs_or_is_a_gap_with_its_reason_and_no_listed_gap_works(
    backend, environments, course_environment
):
    course_environment(backend)
    python, of_framework = environments.of_worker(backend)
    compiled = BACKENDS[backend].compiled
    jobs = {
        name: make_job(backend=backend, compiled=compiled, **changes)
        for name, changes in FEATURES.items()
    }
    gaps = GAPS.get(backend, {})
    possible = {
        name: job for name, job in jobs.items() if job.mode == "matched" or BACKENDS[backend].native
    }
    assert set(jobs) - set(possible) <= set(gaps)
    variables = {
        **os.environ,
        **BACKENDS[backend].variables,
        "PYTHONPATH": str(PROJECT),
        "CUDA_VISIBLE_DEVICES": "",
    }
    done = subprocess.run(
        [python, "-c", CONSTRUCT, *filter(None, [of_framework])],
        input=json.dumps(
            [(adapter_of(backend, job.mode), msgspec.to_builtins(job)) for job in possible.values()]
        ),
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(zip(possible, done.stdout.splitlines(), strict=True))
    print(answers)
    assert {name for name, answer in answers.items() if answer != "runs"} == set(gaps) & set(
        possible
    )


def test_every_gap_is_of_a_backend_and_a_feature_and_says_why():
    for backend, gaps in GAPS.items():
        assert set(gaps) <= set(FEATURES), backend
        assert all(gap.reason for gap in gaps.values())
    assert set(GAPS) <= set(BACKENDS)
