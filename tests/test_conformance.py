"""Every backend does the same work as the reference; and every check is proven able to fail."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from backends.reference import Reference
from bench.conformance import CHECKS, Finding, make_case, prove
from bench.data import materialise, read_part
from bench.environments import PROJECT, entry
from bench.machine import this_machine
from bench.worker import Assignment
from conftest import FRAMEWORKS, make_job
from mutants import (
    MUTANTS,
    DropsWithoutASeed,
    EditsItsInput,
    IgnoresTheOrder,
    NeverTrains,
    ReturnsFloat64,
    ReturnsSoftmax,
    WrongEpsilon,
)
from workloads import PROVEN, small_workload


@pytest.fixture(scope="module")
def cases(mnist_5k, places):
    """A case per workload, made once; small, as the reference takes its time."""
    images, labels = read_part(Path(mnist_5k.folder), "train")
    spread = np.arange(0, 4000, 3)  # over one prediction batch, and all digits, which lie sorted
    dropout = small_workload("relu")
    synthetic = materialise("synthetic", dropout.input, places)
    return {
        **{
            name: make_case(make_job(name, batch_size=9), images[spread], labels[spread])
            for name in ("softmax", "mlp-relu")
        },
        **{
            name: make_case(make_job(workload, batch_size=9), *read_part(Path(synthetic.folder), "train"))
            for name, workload in {
                "dropout": dropout,
                "batch norm": PROVEN["batch norm, nesterov"],
                "strides": PROVEN["strides, same, adam after"],
            }.items()
        },
    }


def prove_all(backend: str, names, folder: Path, environments, places, device="cpu") -> dict[str, list[Finding]]:
    """The findings on a backend by workload, all in one process of its own environment, as importing takes longest."""
    chosen = entry(backend)
    assignments = []
    for name in names:
        workload = PROVEN[name]
        data = materialise("mnist-5k" if workload.input.shape == (28, 28, 1) else "synthetic", workload.input, places)
        threads = len(os.sched_getaffinity(0))
        job = make_job(workload, backend=backend, device=device, threads=threads, compiled=chosen.compiled)
        assignments.append(Assignment(job=job, adapter=chosen.adapter, data=data.folder, train_evaluated=0))
    (folder / "assignments").write_bytes(msgspec.json.encode(assignments))
    gpu = next((g.uuid for g in this_machine().gpus if device == f"cuda:{g.index}"), "")
    variables = {**os.environ, **chosen.variables, "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": gpu}
    command = [environments.require(backend), "-m", "bench.conformance", folder / "assignments", folder / "findings"]
    done = subprocess.run(command, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    findings = msgspec.json.decode((folder / "findings").read_bytes(), type=list[list[Finding]])
    return dict(zip(names, findings, strict=True))


@pytest.fixture(scope="module")
def proofs(tmp_path_factory, environments, places):
    """Proofs made so far, by backend and device."""
    made = {}

    def proof(backend: str, device="cpu") -> dict[str, list[Finding]]:
        if (backend, device) not in made:
            names = tuple(name for other, name in PROOFS if other == backend)
            folder = tmp_path_factory.mktemp(backend)
            made[backend, device] = prove_all(backend, names, folder, environments, places, device)
        return made[backend, device]

    return proof


# Compiling takes a minute per workload, so of `pytorch-compiled`, which is `pytorch` and one line, a subset is proven.
SUBSET = {"pytorch-compiled": ("mlp-relu", "dropout after flatten", "batch norm, nesterov")}
PROOFS = [(backend, name) for backend in FRAMEWORKS for name in SUBSET.get(backend, PROVEN)]


def assert_proven(name: str, findings: list[Finding]) -> None:
    print(f"{name}: " + ", ".join(f"{f.check} {f.deviation:.2f} ({f.where})" for f in findings))
    assert [finding.check for finding in findings] == ["prediction", "steps", "epoch", "purity", "own dropout"]
    assert all(finding.deviation <= 1 for finding in findings), findings


@pytest.mark.framework
@pytest.mark.parametrize(("backend", "name"), PROOFS)
def test_backend_does_what_the_reference_does(backend, name, proofs):
    assert_proven(name, proofs(backend)[name])


@pytest.mark.gpu
@pytest.mark.framework
@pytest.mark.parametrize(("backend", "name"), PROOFS)
def test_backend_does_what_the_reference_does_on_a_gpu(backend, name, proofs):
    if not this_machine().gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    assert_proven(name, proofs(backend, "cuda:0")[name])


def test_the_reference_passes_its_own_checks(cases):
    assert all(check(Reference, case).deviation == 0 for case in cases.values() for check in CHECKS)


def caught_by(mutant, cases) -> list[Finding]:
    case = cases[MUTANTS[mutant]]
    own = replace(case, images=case.images.copy())  # one of them edits its input
    return [finding for check in CHECKS if (finding := check(mutant, own)).deviation > 1]


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, cases):
    caught = caught_by(mutant, cases)
    print(f"{mutant.__name__}: caught by " + ", ".join(f"{f.check} ({f.where}: {f.deviation:.3g})" for f in caught))
    assert caught


def test_no_other_seed_excuses_a_wrong_formula_or_a_fault_that_is_no_flip():
    """A model with kinks is tried on several seeds; a mutant fails on all, and what is no flip is not tried again."""
    seeds = []

    class Counted(WrongEpsilon):
        def __init__(self, job):
            super().__init__(job)
            seeds.append(job.seed)

    images, labels = np.random.RandomState(0).random_sample((100, 7, 6, 2)).astype(np.float32), np.arange(100) % 4
    job = make_job(PROVEN["adamw after"], batch_size=9)
    assert any(finding.deviation > 1 for finding in prove(Counted, job, images, labels))
    assert set(seeds) >= set(range(8))
    findings = prove(ReturnsFloat64, job, images, labels)
    assert [finding.check for finding in findings if finding.deviation > 1] == ["purity"]


def test_every_check_catches_a_mutant(cases):
    mutants = (IgnoresTheOrder, ReturnsSoftmax, EditsItsInput, NeverTrains, DropsWithoutASeed)
    catching = {finding.check for mutant in mutants for finding in caught_by(mutant, cases)}
    assert catching == {"prediction", "steps", "epoch", "purity", "own dropout"}
