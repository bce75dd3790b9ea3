"""Every backend does the same work as the reference, by real verifications in its environment."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS, refusal
from bench.machine.host import this_machine
from bench.runner.tasks import run_tasks
from bench.runner.verification import make_record, make_task, models_of
from bench.worker.assignment import Size
from bench.worker.verification.checks import BEHAVES, COMPUTES, NATIVE
from bench.worker.verification.models import MODELS
from specs.loading import find_workload
from tests.support.checks import CHECKS, ELSEWHERE
from tests.support.jobs import FRAMEWORKS, VARIANTS
from tests.support.tasks import Watcher

pytestmark = pytest.mark.usefixtures("arrays_once")


def run(task, folder, **changes):
    """The verification of a task, with some fields of its assignment changed."""
    task = replace(task, assignment=replace(task.assignment, **changes))
    machine = this_machine()
    [record] = run_tasks([task], folder, machine, make_record, timeout=600, observer=Watcher())
    return record


@pytest.fixture(scope="module")
def verifications(tmp_path_factory, environments, places):
    """A function that makes a verification as `bench verify` does, once per backend and device."""
    made = {}

    def verified(backend, device="cpu", mode="matched", **changes):
        if (backend, device, mode) not in made:
            machine, threads = this_machine(), len(os.sched_getaffinity(0))
            task = make_task(backend, mode, device, threads, environments, machine, places)
            sizes = tuple(size for size in SIZES if not refusal(backend, size.workload))
            changes = {"sizes": sizes, **changes} if mode == "matched" else changes
            made[backend, device, mode] = run(task, tmp_path_factory.mktemp(backend), **changes)
        return made[backend, device, mode]

    return verified


def assert_passed(found, name):
    print(name + ": " + ", ".join(f"{f.check} {f.deviation:.2f} ({f.where})" for f in found))
    assert found
    assert all(finding.passed for finding in found)


PLAIN = [backend for backend in FRAMEWORKS if backend not in VARIANTS]
WHOLE = [backend for backend in PLAIN if models_of(backend)[0] == tuple(MODELS)]
VERIFICATIONS = [(backend, name) for backend in PLAIN for name in models_of(backend)[0]]
BEHAVIOURS = [
    (backend, check)
    for backend in PLAIN
    for check in (*BEHAVES, *ELSEWHERE)
    if check != "dropout" or backend in WHOLE
]
# `bench verify` verifies all of the course's workloads; the reference takes minutes for the CNNs.
SIZES = tuple(
    Size(workload=find_workload(name), batch_size=size)
    for name, size in (("mlp-tanh", 128), ("mlp-relu-dropout", 128), ("lenet5-1998", 128))
)
# Of a tuned variant `bench verify` verifies all; here, most kinds of layer and state of every
# kind, as
# compiling is slow.
FEW = {
    "models": ("digits, relu", "dropout after flatten", "batch norm, nesterov"),
    "behaviour": ("dropout after flatten",),
    "long": ("softmax",),
}


@pytest.mark.framework
@pytest.mark.parametrize(("backend", "name"), VERIFICATIONS)
def test_backend_computes_what_the_reference_does(backend, name, verifications):
    made = verifications(backend)
    assert made.status == "ok", made.details
    assert_passed([f for model, f in made.findings if model == name and f.check in COMPUTES], name)


@pytest.mark.framework
@pytest.mark.parametrize(("backend", "check"), BEHAVIOURS)
def test_backend_behaves(backend, check, verifications):
    assert_passed([f for _, f in verifications(backend).findings if f.check == check], check)


@pytest.mark.framework
@pytest.mark.parametrize("backend", VARIANTS)
def test_tuned_variant_computes_and_behaves_as_the_reference_does(backend, verifications):
    made = verifications(backend, **FEW)
    assert_passed([finding for _, finding in made.findings], backend)
    assert (made.verdict, made.settings["compiled"]) == ("verified", BACKENDS[backend].compiled)
    assert {finding.check for _, finding in made.findings} == set(CHECKS)


@pytest.mark.framework
@pytest.mark.parametrize("backend", PLAIN)
def test_backend_is_verified_on_every_model(backend, verifications):
    made = verifications(backend)
    assert made.verdict == "verified"
    computed = {model for model, finding in made.findings if finding.check in COMPUTES}
    sizes = {size.name for size in SIZES if not refusal(backend, size.workload)}
    assert computed == {*models_of(backend)[0], *sizes}
    assert made.settings["device"]


@pytest.mark.framework
@pytest.mark.parametrize("backend", [backend for backend in FRAMEWORKS if BACKENDS[backend].native])
def test_native_mode_predicts_right_repeats_its_seed_and_keeps_its_hands_off(
    backend, verifications
):
    made = verifications(backend, mode="native")
    print(
        [(model, f.check, f.deviation, f.where) for model, f in made.findings],
        made.reason,
        made.details,
    )
    assert made.verdict == "verified"
    assert {finding.check for _, finding in made.findings} == set(NATIVE)
    assert "optimizer" in made.settings


@pytest.mark.gpu
@pytest.mark.framework
@pytest.mark.parametrize("backend", dict.fromkeys((*WHOLE, *VARIANTS)))
def test_backend_is_verified_on_a_gpu(backend, verifications):
    if not this_machine().gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    made = verifications(backend, "cuda:0")
    print([(model, f.check, f.deviation, f.where) for model, f in made.findings])
    assert made.verdict == "verified", (made.worst, made.reason, made.details)


@pytest.mark.gpu
@pytest.mark.framework
@pytest.mark.parametrize("backend", dict.fromkeys((*WHOLE, *VARIANTS)))
def test_the_verification_notices_that_tf32_is_on(
    backend, verifications, environments, places, tmp_path
):
    if not this_machine().gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    machine = this_machine()
    if (capability := machine.gpus[0].compute_capability) and float(capability) < 8.0:
        pytest.skip(f"a GPU of compute capability {capability} has no TF32")
    task = make_task(backend, "matched", "cuda:0", 1, environments, machine, places)
    job = replace(task.job, precision="tf32")
    models = ("sizes for tensor cores",)
    record = run(task, tmp_path, job=job, models=models, behaviour=(), long=())
    assert record.verdict == "not equal"


@pytest.mark.framework
@pytest.mark.parametrize("backend", ["tensorflow", "jax"])
def test_biases_are_right_in_bfloat16_in_large_batches(backend, tmp_path):
    """Both frameworks would add up the gradients of biases in bfloat16 on CPUs."""
    place = ("--workload", "softmax", "--batch-size", "1000", "--results", str(tmp_path))
    command = (sys.executable, "-m", "bench", "verify", "--precision", "bfloat16", *place)
    done = subprocess.run(
        [*command, "--backend", backend], capture_output=True, text=True, check=False
    )
    print(done.stdout, done.stderr)
    assert done.returncode == 0
    assert "1 of 1 verified equal" in done.stdout
