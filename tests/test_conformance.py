"""Every backend does the same work as the reference; and every check is proven able to fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import pytest

from backends.reference import Reference
from bench.conformance import CHECKS, Finding, make_case
from bench.data import read_part
from bench.environments import PROJECT, entry
from bench.worker import Assignment
from conftest import FRAMEWORKS, make_job
from mutants import MUTANTS


@pytest.fixture(scope="module")
def cases(mnist_5k):
    """A case per workload, made once: checks must leave it as it is."""
    images, labels = read_part(Path(mnist_5k.folder), "train")
    # One prediction batch and a bit; the CNN in float64 is slow.
    return {
        name: make_case(make_job(name, batch_size=9), images[:1100], labels[:1100])
        for name in ("softmax", "mlp-relu", "cnn")
    }


def prove(backend: str, workload: str, data: str, folder: Path, environments) -> list[Finding]:
    """The findings on a backend, in its own environment."""
    chosen = entry(backend)
    job = make_job(workload, backend=backend, threads=len(os.sched_getaffinity(0)))
    assignment = Assignment(job=job, adapter=chosen.adapter, data=data, train_evaluated=0)
    (folder / "assignment.json").write_bytes(msgspec.json.encode(assignment))
    command = [
        environments.require(backend),
        "-m",
        "bench.conformance",
        folder / "assignment.json",
        folder / "findings.json",
    ]
    variables = {**os.environ, **chosen.variables, "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return msgspec.json.decode((folder / "findings.json").read_bytes(), type=list[Finding])


@pytest.mark.framework
@pytest.mark.parametrize("workload", ["softmax", "mlp-relu", "cnn"])
@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_backend_does_what_the_reference_does(backend, workload, mnist_5k, tmp_path, environments):
    findings = prove(backend, workload, mnist_5k.folder, tmp_path, environments)
    print(f"{backend} {workload}: " + ", ".join(f"{f.check} {f.deviation:.2f} ({f.where})" for f in findings))
    assert [finding.check for finding in findings] == ["prediction", "steps", "epoch", "purity"]
    assert all(finding.deviation <= 1 for finding in findings), findings


def test_the_reference_passes_its_own_checks(cases):
    assert all(
        check(Reference, case).deviation == 0 for case in (cases["softmax"], cases["mlp-relu"]) for check in CHECKS
    )


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, cases):
    case = cases[MUTANTS[mutant]]
    own = msgspec.structs.replace(case, images=case.images.copy())
    caught = [finding for check in CHECKS if (finding := check(mutant, own)).deviation > 1]
    print(f"{mutant.__name__}: caught by " + ", ".join(f"{f.check} ({f.where}: {f.deviation:.3g})" for f in caught))
    assert caught


def test_every_check_catches_a_mutant(cases):
    catching = {
        check.__name__
        for mutant in MUTANTS
        for check in CHECKS
        if MUTANTS[mutant] == "softmax"
        and check(mutant, msgspec.structs.replace(cases["softmax"], images=cases["softmax"].images.copy())).deviation
        > 1
    }
    assert catching == {check.__name__ for check in CHECKS}
