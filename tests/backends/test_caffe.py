"""Caffe's adapter: each trap of Caffe is caught by a check, and what it refuses cannot be."""

from __future__ import annotations

import json
import math
import os
import subprocess

import numpy as np
import pytest
from msgspec.structs import replace

from backends.caffe.far import Caffe
from backends.far.child import ChildError
from backends.registry import BACKENDS, refusal
from bench.records.files import PROJECT
from bench.runner.verification import models_of
from bench.worker.verification.cases import make_case
from bench.worker.verification.checks import (
    check_extremes,
    check_prediction,
    check_repeat,
    check_steps,
)
from bench.worker.verification.models import DENSE, EVERY, MODELS
from specs.initial import initial_weights
from specs.loading import find_suite, find_workload
from specs.model import Adagrad, Sgd
from tests.support.jobs import make_job


@pytest.fixture
def adapter(course_environment, monkeypatch):
    """A function: the adapter, or that of a program in `near_caffe_mutants`, of a job."""
    python = str(course_environment("caffe"))
    for name, value in BACKENDS["caffe"].variables.items():
        monkeypatch.setenv(name, value)

    def of(mutant=""):
        target = f"tests.support.near_caffe_mutants:{mutant}" if mutant else Caffe.near
        kind = type("Adapter", (Caffe,), {"near": target})
        return lambda job: kind(job, python)

    return of


def deviation(make, check, model):
    """The deviation that a check finds; `model` is the name of a verification's, or a workload."""
    workload = EVERY[model] if isinstance(model, str) else model
    random = np.random.RandomState(0)
    images = random.random_sample((1100, *workload.input.shape)).astype(np.float32)
    labels = random.randint(0, workload.input.classes, len(images))
    job = make_job(workload, backend="caffe", batch_size=16)
    return check(make, make_case(job, images, labels)).deviation


def test_batch_norm_is_refused_with_the_reason_and_nothing_else_of_the_course_is():
    assert "BatchNorm layer of kendryte-caffe" in refusal("caffe", find_workload("mlp-wide"))
    course = [find_workload(part.workload) for part in find_suite("course").workloads]
    assert [refusal("caffe", workload) for workload in course] == [""] * len(course)
    models, _ = models_of("caffe")
    assert {*MODELS} - {*models} == {"batch norm, nesterov", "batch norm after flatten"}
    assert {*DENSE} <= {*models}


BATCH_NORM = """
import json, tempfile, numpy as np, caffe
from caffe import layers
spec = caffe.NetSpec()
spec.data = layers.Input(shape=dict(dim=[8, 3]))
spec.norm = layers.BatchNorm(spec.data, moving_average_fraction=0.5)
with tempfile.NamedTemporaryFile("w") as file:
    file.write(str(spec.to_proto()))
    file.flush()
    net = caffe.Net(file.name, caffe.TRAIN)
net.blobs["data"].data[...] = np.random.RandomState(0).normal(5.0, 2.0, (8, 3))
net.forward()
stored = [float(abs(blob.data).max()) for blob in net.params["norm"]]
print(json.dumps([float(net.blobs["norm"].data.mean()), stored]))
"""


@pytest.mark.framework
def test_the_batch_norm_of_this_build_does_not_compute_the_values_of_a_batch(course_environment):
    """If this fails with a newer build, models with batch norm need not be refused any more."""
    done = subprocess.run(
        [course_environment("caffe"), "-c", BATCH_NORM],
        env={**os.environ, **BACKENDS["caffe"].variables},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    mean, stored = json.loads(done.stdout)
    assert abs(mean) > 1  # the mean of normalised values is 0
    assert stored == [0.0, 0.0, 0.0]  # nothing was averaged


@pytest.mark.framework
@pytest.mark.parametrize(
    ("mutant", "check", "model"),
    [
        ("PadsBothSides", check_prediction, "strides, same, adam after"),
        ("ChannelsLast", check_prediction, "tanh, sgd"),
        ("ClipsLoss", check_extremes, "dense linear, rmsprop outside"),
        ("HalvesLoss", check_steps, "quadratic, adagrad inside"),
        ("OwnEpsilon", check_steps, "digits, tanh"),
        ("OwnEpsilon", check_steps, "dense relu, adam after"),
        ("UnscaledMasks", check_steps, "tanh, sgd"),
        ("KeepsState", check_repeat, "dense tanh, nesterov"),
        ("KeepsSeed", check_repeat, "dropout after flatten"),
    ],
)
def test_what_caffe_does_by_itself_is_caught_by_a_check(mutant, check, model, adapter):
    right, wrong = (deviation(adapter(name), check, model) for name in ("", mutant))
    print(mutant, model, right, wrong)
    assert right < 1
    assert wrong > 10


@pytest.mark.framework
def test_pools_that_round_up_do_not_fit_the_next_weights(adapter):
    with pytest.raises(ChildError, match="broadcast"):
        deviation(adapter("RoundsUp"), check_prediction, "digits, relu")


@pytest.mark.framework
def test_dropout_leaves_what_the_derivative_before_it_needs(adapter):
    """tanh, then dropout: the masks of Caffe give the same step as when they are given.

    The rows of the last kernel that change show which of the values of the only image were kept.
    """
    small = EVERY["dropout after flatten"]
    spec = Sgd(learning_rate=1.0, momentum=0.0, nesterov=False)
    job = make_job(replace(small, optimizer=spec), backend="caffe", batch_size=1)
    start, differences = initial_weights(job.workload, 0), {}
    image = np.random.RandomState(0).random_sample((1, *small.input.shape)).astype(np.float32)
    for name in ("", "DropsInPlace"):
        own, given = (adapter(mutant)(job) for mutant in (name, ""))
        for backend in (own, given):
            backend.load(image, np.zeros(1, np.int64))
            backend.set_weights(start)
        own.train_epoch(np.arange(1))
        found = own.get_weights()
        kept = (found["3.kernel"] != start["3.kernel"]).any(axis=1)[None]
        assert 0.2 < kept.mean() < 0.8
        given.train_epoch(np.arange(1), [kept])
        expected = given.get_weights()
        differences[name] = max(float(abs(found[key] - expected[key]).max()) for key in start)
    print(differences)
    assert differences[""] == 0
    assert differences["DropsInPlace"] > 1e-3


@pytest.mark.framework
def test_caffes_own_adagrad_is_used_where_the_accumulator_starts_at_0(adapter):
    zeros = EVERY["adagrad outside, zeros"]
    own = replace(zeros, optimizer=replace(zeros.optimizer, initial_accumulator=0.0))
    assert isinstance(own.optimizer, Adagrad)
    assert deviation(adapter(), check_steps, own) < 1


@pytest.mark.framework
def test_the_settings_say_whose_update_it_is(adapter):
    names = {
        "softmax": "NumPy, implemented here",
        "cnn": "Caffe's AdaDeltaSolver",
        "tanh, sgd": "Caffe's SGDSolver",
        "dense tanh, nesterov": "Caffe's NesterovSolver",
        "sigmoid, rmsprop outside": "Caffe's RMSPropSolver",
        "adam before": "Caffe's AdamSolver",
        "adamw before": "NumPy, implemented here",
        "strides, same, adam after": "NumPy, implemented here",
        "adagrad outside, zeros": "NumPy, implemented here",
    }
    found = {name: adapter()(make_job(EVERY[name])).settings() for name in names}
    assert {name: settings["update"] for name, settings in found.items()} == names
    assert {settings["dtype"] for settings in found.values()} == {"float32"}


@pytest.mark.framework
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_the_library_in_caffe_has_the_threads_of_the_job_and_reports_them(adapter):
    jobs = [make_job("mlp-relu", threads=threads) for threads in (1, 2)]
    assert [adapter()(job).settings()["threads"] for job in jobs] == [1, 2]


@pytest.mark.framework
@pytest.mark.parametrize("model", ["digits, relu", "tanh, sgd"])
def test_a_training_that_diverges_has_the_loss_nan_and_the_child_lives(model, adapter, capfd):
    """Images of NaN stand for it; Caffe's max pool would then write outside its memory."""
    job = make_job(EVERY[model], backend="caffe")
    backend, shape = adapter()(job), job.workload.input.shape
    backend.set_weights(initial_weights(job.workload, 0))
    backend.load(np.full((64, *shape), np.nan, np.float32), np.zeros(64, np.int64))
    assert math.isnan(backend.train_epoch(np.arange(64)))
    backend.load(np.ones((64, *shape), np.float32), np.zeros(64, np.int64))
    backend.reset(initial_weights(job.workload, 0))
    assert backend.train_epoch(np.arange(64)) < 3
    assert capfd.readouterr().err == ""  # Caffe is silent


@pytest.mark.framework
def test_an_interpreter_without_caffe_is_named_with_the_line_to_type(environments):
    with pytest.raises(ChildError, match=r"No module named 'caffe'.*bench environment create caf"):
        Caffe(make_job("softmax", backend="caffe"), str(environments.require("reference")))


def test_the_defaults_and_scripts_are_for_a_python_that_is_too_old_for_ours():
    """Both files keep to what Python 3.7 can read."""
    import ast

    for name in ("tests/defaults/caffe.py", "tests/support/caffe_scripts.py"):
        ast.parse((PROJECT / name).read_text(), feature_version=(3, 7))
