"""Every backend does the same work as the reference; and every check is proven able to fail."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace

from backends.gaps import FEATURES, GAPS
from backends.reference import Reference
from backends.registry import BACKENDS
from backends.stands import terms_of
from bench.cases import make_case
from bench.conformance import BEHAVES, COMPUTES, NATIVE, check_long, check_sync
from bench.conformance_dropout import check_dropout
from bench.data import materialise, read_part
from bench.environments import PROJECT, adapter_of
from bench.machine import this_machine
from bench.prove import make_task, plan, run_proof
from bench.proving import prove
from conftest import FRAMEWORKS, VARIANTS, make_job
from mutants import MUTANTS, ReturnsFloat64, WrongEpsilon
from specs.model import Conv2d
from specs.proof import BEHAVIOUR, LONG, MODELS

ELSEWHERE = {"long": check_long, "sync": check_sync, "dropout": lambda make, case: check_dropout(make, case.job)}
CHECKS = {**COMPUTES, **BEHAVES, **ELSEWHERE}


# Model of the proof -> checks that run on it besides those that run on all.
MORE = {"softmax": ("long",), "tanh mlp": ("sync",), "dropout after flatten": ("dropout",)}
CASES = {name: ({**MODELS, **LONG}[name], MORE.get(name, ())) for name in dict.fromkeys(MUTANTS.values())}


@pytest.fixture(scope="module")
def cases(mnist_5k, places):
    """A case per workload, made once; small, as the reference takes its time."""
    made = {}
    for name, (workload, _) in CASES.items():
        own = mnist_5k if workload.input.shape == (28, 28, 1) else materialise("synthetic", workload.input, places)
        images, labels = read_part(Path(own.folder), "train")
        spread = np.arange(0, 4000, 3)  # over one prediction batch, and all digits, which lie sorted
        made[name] = make_case(make_job(workload, batch_size=9), images[spread], labels[spread])
    return made


@pytest.fixture(scope="module")
def proofs(tmp_path_factory, environments, places):
    """Proofs made so far, by backend and device: what `bench prove` makes."""
    made = {}

    def proven(backend, device="cpu", mode="matched", **changes):
        if (backend, device, mode) not in made:
            machine, threads = this_machine(), len(os.sched_getaffinity(0))
            task = make_task(backend, mode, device, threads, environments, machine)
            assignment = replace(plan(task, places), **changes)
            folder = tmp_path_factory.mktemp(backend)
            made[backend, device, mode] = run_proof(task, assignment, folder, machine, 600, lambda done: None)
        return made[backend, device, mode]

    return proven


def assert_passed(found, name):
    print(name + ": " + ", ".join(f"{f.check} {f.deviation:.2f} ({f.where})" for f in found))
    assert found
    assert all(finding.passed for finding in found)


PLAIN = [backend for backend in FRAMEWORKS if backend not in VARIANTS]
PROOFS = [(backend, name) for backend in PLAIN for name in MODELS]
BEHAVIOURS = [(backend, check) for backend in PLAIN for check in (*BEHAVES, *ELSEWHERE)]
# Of a tuned variant `bench prove` proves all; here, most kinds of layer and state of every kind, as compiling is slow.
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
    print([(model, f.check, f.deviation, f.where) for model, f in made.findings], made.reason, made.details)
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


# Constructs a job's adapter: what it prints is "runs", or why it does not.
CONSTRUCT = """
import importlib, json, sys, msgspec
from backends.contract import Job, Unsupported
for adapter, job in json.loads(sys.stdin.read()):
    module, _, name = adapter.partition(":")
    try:
        getattr(importlib.import_module(module), name)(msgspec.convert(job, Job))
        print("runs")
    except Unsupported as error:
        print(str(error).replace("\\n", " "))
"""


@pytest.mark.framework
@pytest.mark.parametrize("backend", dict.fromkeys((*FRAMEWORKS, *VARIANTS)))
def test_a_feature_runs_or_is_a_gap_with_its_reason_and_no_listed_gap_works(backend, environments):
    compiled = BACKENDS[backend].compiled
    jobs = {name: make_job(backend=backend, compiled=compiled, **changes) for name, changes in FEATURES.items()}
    gaps = GAPS.get(backend, {})
    possible = {name: job for name, job in jobs.items() if job.mode == "matched" or BACKENDS[backend].native}
    assert set(jobs) - set(possible) <= set(gaps)
    variables = {**os.environ, **BACKENDS[backend].variables, "PYTHONPATH": str(PROJECT), "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [environments.require(backend), "-c", CONSTRUCT],
        input=json.dumps([(adapter_of(backend, job.mode), msgspec.to_builtins(job)) for job in possible.values()]),
        env=variables,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    answers = dict(zip(possible, done.stdout.splitlines(), strict=True))
    print(answers)
    assert {name for name, answer in answers.items() if answer != "runs"} == set(gaps) & set(possible)


def test_every_gap_is_of_a_backend_and_a_feature_and_says_why():
    for backend, gaps in GAPS.items():
        assert set(gaps) <= set(FEATURES), backend
        assert all(gap.reason for gap in gaps.values())
    assert set(GAPS) <= set(BACKENDS)


def test_the_reference_passes_its_own_checks(cases):
    for name, (_, more) in CASES.items():
        for check in (*COMPUTES, *BEHAVES, *more):
            assert CHECKS[check](Reference, cases[name]).deviation <= (0.5 if check in ELSEWHERE else 1e-6), (
                name,
                check,
            )


def caught_by(mutant, cases):
    """The checks that fail, on the mutant's workload."""
    name = MUTANTS[mutant]
    case = replace(cases[name], images=cases[name].images.copy())  # one of them edits its input
    found = []
    for check in (*COMPUTES, *BEHAVES, *CASES[name][1]):
        finding = CHECKS[check](mutant, case)
        found += [] if finding.passed else [finding]
    return found


@pytest.fixture(scope="module")
def catches(cases):
    """Mutant -> what caught it."""
    return {mutant: caught_by(mutant, cases) for mutant in MUTANTS}


@pytest.mark.parametrize("mutant", MUTANTS, ids=lambda mutant: mutant.__name__)
def test_mutant_is_caught(mutant, catches):
    assert catches[mutant]


def test_every_check_catches_a_mutant_and_this_is_which(catches, capsys):
    with capsys.disabled():
        width = max(len(mutant.__name__) for mutant in MUTANTS)
        print(f"\n\nWhich check catches which of {len(MUTANTS)} mutants:")
        for mutant, found in catches.items():
            print(f"  {mutant.__name__:<{width}} {', '.join(finding.check for finding in found)}")
    assert {finding.check for found in catches.values() for finding in found} == set(CHECKS)


def test_no_other_seed_excuses_a_wrong_formula_or_a_fault_that_is_no_flip():
    """A model with kinks is tried on several seeds; a mutant fails on all, and what is no flip is not tried again."""
    seeds = []

    class Counted(WrongEpsilon):
        def __init__(self, job):
            super().__init__(job)
            seeds.append(job.seed)

    class WrongPrediction(ReturnsFloat64):
        def predict(self, images):
            seeds.append(self._job.seed)
            return super().predict(images) + 1e-3

    images, labels = np.random.RandomState(0).random_sample((200, 7, 6, 2)).astype(np.float32), np.arange(200) % 4
    job = make_job(MODELS["adamw after"], batch_size=9)
    assert any(not finding.passed for finding in prove(Counted, job, images, labels).findings)
    assert set(seeds) >= set(range(8))
    seeds.clear()
    assert not prove(WrongPrediction, job, images, labels).findings[0].passed
    assert set(seeds) == {0}


def test_no_constant_of_the_small_models_is_a_default_of_any_framework():
    """Else one that an adapter forgot to give would not be noticed."""
    words = {
        "learning_rate": "learning rate",
        "initial_accumulator": "first accumulator",
        "weight_decay": "adamw's weight decay",
        **{name: name for name in ("momentum", "rho", "epsilon")},
    }
    defaults: dict[str, set] = {}
    for backend in FRAMEWORKS:
        for stand in terms_of(backend):
            defaults.setdefault(stand.term, set()).add(stand.default)
    found = 0
    for name, workload in MODELS.items():
        if workload.name != "cnn" or name == "cnn":
            continue  # a packaged one
        tag = str(workload.optimizer.__struct_config__.tag)
        for constant, word in words.items():
            value = getattr(workload.optimizer, constant, None)
            term = word if word in defaults else f"{tag.replace('adamw', 'adam')}'s {word}"
            if value and term in defaults:
                assert value not in defaults[term], (name, term)
                found += 1
        for layer in workload.layers:
            if hasattr(layer, "momentum"):
                assert layer.epsilon not in defaults["batch norm's epsilon"]
                assert layer.momentum not in defaults["batch norm's momentum"]
    assert found > 20


def test_the_models_hold_all_of_the_language():
    """Every kind of layer, activation, loss, initializer and optimizer, and both forms of each epsilon."""
    import typing

    from specs import model

    workloads = MODELS.values()
    layers = [layer for workload in workloads for layer in workload.layers]
    optimizers = [workload.optimizer for workload in workloads]
    assert {type(layer) for layer in layers} == set(typing.get_args(model.Layer))
    assert {getattr(layer, "activation", "linear") for layer in layers} == set(typing.get_args(model.Activation))
    assert {workload.loss for workload in workloads} == set(typing.get_args(model.Loss))
    assert {workload.recipe.initializer for workload in workloads} == set(typing.get_args(model.Initializer))
    assert {type(optimizer) for optimizer in optimizers} == set(typing.get_args(model.Optimizer))
    forms = {(type(o), o.epsilon_form) for o in optimizers if hasattr(o, "epsilon_form")}
    assert len(forms) == 8  # RMSprop, Adagrad, Adam and AdamW, two each
    assert {layer.padding for layer in layers if isinstance(layer, Conv2d)} == {"valid", "same"}
    assert set(BEHAVIOUR) <= set(MODELS)
