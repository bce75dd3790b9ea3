"""Every backend does the same work as the reference, by real proofs in its environment."""

from __future__ import annotations

import os

import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS
from bench.machine.host import this_machine
from bench.runner.proof import make_task, plan, run_proof
from bench.worker.proof.checks import BEHAVES, COMPUTES, NATIVE
from bench.worker.proof.models import MODELS
from tests.support.checks import CHECKS, ELSEWHERE
from tests.support.jobs import FRAMEWORKS, VARIANTS

pytestmark = pytest.mark.usefixtures("arrays_once")


@pytest.fixture(scope="module")
def proofs(tmp_path_factory, environments, places):
    """A function that makes a proof as `bench prove` does, once per backend and device."""
    made = {}

    def proven(backend, device="cpu", mode="matched", **changes):
        if (backend, device, mode) not in made:
            machine, threads = this_machine(), len(os.sched_getaffinity(0))
            task = make_task(backend, mode, device, threads, environments, machine)
            assignment = replace(plan(task, places), **changes)
            folder = tmp_path_factory.mktemp(backend)
            made[backend, device, mode] = run_proof(
                task, assignment, folder, machine, 600, lambda done: None
            )
        return made[backend, device, mode]

    return proven


def assert_passed(found, name):
    print(name + ": " + ", ".join(f"{f.check} {f.deviation:.2f} ({f.where})" for f in found))
    assert found
    assert all(finding.passed for finding in found)


PLAIN = [backend for backend in FRAMEWORKS if backend not in VARIANTS]
PROOFS = [(backend, name) for backend in PLAIN for name in MODELS]
BEHAVIOURS = [(backend, check) for backend in PLAIN for check in (*BEHAVES, *ELSEWHERE)]
# Of a tuned variant `bench prove` proves all; here, most kinds of layer and state of every kind, as
# compiling is slow.
FEW = {
    "models": ("digits, relu", "dropout after flatten", "batch norm, nesterov"),
    "behaviour": ("dropout after flatten",),
    "long": ("softmax",),
}


@pytest.mark.framework
@pytest.mark.parametrize(("backend", "name"), PROOFS)
def test_backend_computes_what_the_reference_does(backend, name, proofs):
    made = proofs(backend)
    assert made.status == "ok", made.details
    assert_passed([f for model, f in made.findings if model == name and f.check in COMPUTES], name)


@pytest.mark.framework
@pytest.mark.parametrize(("backend", "check"), BEHAVIOURS)
def test_backend_behaves(backend, check, proofs):
    assert_passed([f for _, f in proofs(backend).findings if f.check == check], check)


@pytest.mark.framework
@pytest.mark.parametrize("backend", VARIANTS)
def test_tuned_variant_computes_and_behaves_as_the_reference_does(backend, proofs):
    made = proofs(backend, **FEW)
    assert_passed([finding for _, finding in made.findings], backend)
    assert (made.verdict, made.settings["compiled"]) == ("proven", BACKENDS[backend].compiled)
    assert {finding.check for _, finding in made.findings} == set(CHECKS)


@pytest.mark.framework
@pytest.mark.parametrize("backend", PLAIN)
def test_backend_is_proven_on_every_model(backend, proofs):
    made = proofs(backend)
    assert made.verdict == "proven"
    computed = {model for model, finding in made.findings if finding.check in COMPUTES}
    assert computed == set(MODELS)
    assert made.settings["device"]


@pytest.mark.framework
@pytest.mark.parametrize("backend", [backend for backend in FRAMEWORKS if BACKENDS[backend].native])
def test_native_mode_predicts_right_repeats_its_seed_and_keeps_its_hands_off(backend, proofs):
    made = proofs(backend, mode="native")
    print(
        [(model, f.check, f.deviation, f.where) for model, f in made.findings],
        made.reason,
        made.details,
    )
    assert made.verdict == "proven"
    assert {finding.check for _, finding in made.findings} == set(NATIVE)
    assert "optimizer" in made.settings


@pytest.mark.gpu
@pytest.mark.framework
@pytest.mark.parametrize("backend", dict.fromkeys((*FRAMEWORKS, *VARIANTS)))
def test_backend_is_proven_on_a_gpu(backend, proofs):
    if not this_machine().gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    made = proofs(backend, "cuda:0")
    print([(model, f.check, f.deviation, f.where) for model, f in made.findings])
    assert made.verdict == "proven", (made.worst, made.reason, made.details)


@pytest.mark.gpu
@pytest.mark.framework
@pytest.mark.parametrize("backend", FRAMEWORKS)
def test_the_proof_notices_that_tf32_is_on(backend, proofs, environments, places, tmp_path):
    if not this_machine().gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    machine = this_machine()
    task = make_task(backend, "matched", "cuda:0", 1, environments, machine)
    task = replace(task, job=replace(task.job, precision="tf32"))
    one = replace(plan(task, places), models=("sizes for tensor cores",), behaviour=(), long=())
    assert run_proof(task, one, tmp_path, machine, 600, lambda done: None).verdict == "not equal"
