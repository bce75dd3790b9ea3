"""The course's frameworks that run only when named: each is verified, and trains a small case.

`bench verify --backend NAME` verifies them on all models. Here they have a few, with every kind of
layer, so that the tests stay short.
"""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS, GAPS, refusal
from bench.machine.host import this_machine
from bench.runner.jobs import make_tasks
from bench.runner.plan import Options, Training, make_jobs
from bench.runner.tasks import run_tasks
from bench.runner.verification import make_record, make_task
from bench.worker.verification.models import EVERY
from specs.loading import find_suite, find_workload
from tests.support.jobs import COURSE
from tests.support.tasks import Watcher, run_jobs

pytestmark = [pytest.mark.framework, pytest.mark.usefixtures("arrays_once")]
FEW = (
    *("softmax", "digits, relu", "dropout after flatten", "batch norm, nesterov"),
    *(
        "softmax, sgd",
        "strides, same, adam after",
        "dense sigmoid, momentum",
        "dense tanh, adam before",
    ),
)


@pytest.mark.parametrize("backend", COURSE)
def test_a_few_models_are_verified(backend, course_environment, environments, places, tmp_path):
    course_environment(backend)
    machine = this_machine()
    task = make_task(backend, "matched", "cpu", 1, environments, machine, places)
    models = tuple(name for name in FEW if not refusal(backend, EVERY[name]))
    if backend == "theano":
        models = models[:4]  # its compiler takes half a minute for each
    behaviour = task.assignment.behaviour[-1:]
    chosen = replace(
        task.assignment,
        models=models,
        behaviour=behaviour,
        long=task.assignment.long[:1],
        sizes=(),
    )
    task = replace(task, assignment=chosen)
    [record] = run_tasks([task], tmp_path, machine, make_record, timeout=600, observer=Watcher())
    print([(model, f.check, round(f.deviation, 3)) for model, f in record.findings])
    assert (record.verdict, record.reason) == ("verified", ""), record.details
    assert models
    assert record.settings["device"] == "cpu"


@pytest.mark.parametrize("backend", COURSE)
def test_a_small_case_is_trained_verified_and_agrees(
    backend, course_environment, environments, mnist_5k, tmp_path
):
    """Softmax in matched mode as the reference, in the real worker; else native mode learns."""
    course_environment(backend)
    machine, softmax = this_machine(), find_workload("softmax-sgd")
    options = Options(backends=("reference", backend), devices=("cpu",), threads=1, seeds=(0,))
    # One batch of all images, which also Spark can train.
    size = mnist_5k.train_examples
    training = Training(workload=softmax, data=mnist_5k, epochs=2, batch_size=size)
    jobs = make_jobs([training], options, find_suite("smoke"))
    records = run_jobs(make_tasks(jobs, environments, machine, 1000), tmp_path, timeout=600)
    assert [record.status for record in records] == ["ok", "ok"], [r.details for r in records]
    expected, found = records
    assert found.verification.passed, found.verification
    for ours, theirs in zip(found.epochs, expected.epochs, strict=True):
        assert ours.running_loss == pytest.approx(theirs.running_loss, abs=2e-5)
        assert ours.test_accuracy == pytest.approx(theirs.test_accuracy, abs=0.0011)
        assert ours.training.wall_seconds > 0
        assert ours.training.cpu_seconds > 0
    assert found.startup.settings["threads"]


@pytest.mark.parametrize("backend", COURSE)
def test_a_retired_framework_has_no_native_mode_and_says_why(backend):
    if BACKENDS[backend].retired is not None:
        assert BACKENDS[backend].native is None
        assert str(BACKENDS[backend].retired) in GAPS[backend]["native mode"].reason


def test_every_backend_of_the_suite_is_known():
    assert set(find_suite("course-frameworks").backends) <= set(BACKENDS)
