"""Several ranks: the same training as one device, verified by the same checks."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time

import msgspec
import pytest
from msgspec.structs import replace

from backends.contract import (
    Job,
    Unsupported,
    check_ranks,
    first_of,
    kind_of,
    kind_with_ranks,
    nodes_of,
    ranks_of,
    ranks_per_node,
)
from backends.registry import BACKENDS, UnknownBackendError, adapter_of
from bench.machine.host import this_machine
from bench.records.files import PROJECT
from bench.runner.jobs import make_tasks
from bench.runner.plan import Options, PlanError, Training, make_groups, make_jobs
from bench.runner.tasks import run_tasks
from bench.runner.verification import make_record, make_task
from bench.worker.verification.models import EVERY
from specs.loading import find_suite, find_workload
from tests.backends.test_node import STARTS
from tests.support.jobs import make_job
from tests.support.tasks import Watcher, run_jobs

PARALLEL = [name for name, entry in BACKENDS.items() if entry.parallel]
FEW = ("digits, relu", "dropout after flatten")


@pytest.mark.parametrize(
    ("device", "nodes", "ranks", "first", "kind"),
    [
        ("cpu", 1, 1, "cpu", "cpu"),
        ("2xcpu", 1, 2, "cpu", "2xcpu"),
        ("cuda:1", 1, 1, "cuda:1", "cuda"),
        ("16xcuda:0", 1, 16, "cuda:0", "16xcuda"),
        ("2x1xcpu", 2, 2, "cpu", "2x1xcpu"),
        ("12x4xcuda:0:1", 12, 48, "cuda:0:1", "12x4xcuda"),
        ("xpu:0", 1, 1, "xpu:0", "xpu"),
        ("spark://x:7077", 1, 1, "spark://x:7077", "spark"),
    ],
)
def test_a_device_says_how_many_nodes_and_ranks_there_are(device, nodes, ranks, first, kind):
    assert (nodes_of(device), ranks_of(device), first_of(device)) == (nodes, ranks, first)
    assert ranks_per_node(device) * nodes == ranks
    assert kind_with_ranks(device) == kind
    assert kind_with_ranks(first) == kind_of(device)
    job = make_job(device=device)
    assert job.ranks == ranks
    assert msgspec.convert(msgspec.to_builtins(job), Job) == job


@pytest.mark.parametrize("device", ["1x2xcpu", "0x2xcpu", "2x0xcpu", "2x2x2xcpu", "2x2"])
def test_a_device_has_one_name(device):
    with pytest.raises(msgspec.ValidationError, match="device"):
        msgspec.convert({**msgspec.to_builtins(make_job()), "device": device}, Job)


def test_a_batch_with_fewer_examples_than_ranks_cannot_be_shared():
    job = make_job(device="4xcpu", batch_size=32)
    check_ranks(job, 64)
    check_ranks(job, 36)
    with pytest.raises(Unsupported, match="the last batch of an epoch has 3 examples"):
        check_ranks(job, 35)
    with pytest.raises(Unsupported, match="a batch has 2 examples, fewer than 4 ranks"):
        check_ranks(make_job(device="4xcpu", batch_size=2), 64)


def test_a_plan_leaves_out_backends_that_train_on_one_device_only(mnist_5k):
    training = Training(workload=find_workload("softmax"), data=mnist_5k, epochs=1)
    options = Options(
        backends=("pytorch", "keras-torch"),
        devices=("cpu", "2xcpu"),
        threads=2,
        native=("pytorch",),
    )
    planned = [
        (job.backend, job.device, job.mode)
        for job, _ in make_jobs([training], options, find_suite("smoke"))
    ]
    assert [each for each in planned if each[1] == "2xcpu"] == [("pytorch", "2xcpu", "matched")]
    assert len(planned) == 4
    with pytest.raises(PlanError, match="none of keras-torch trains on several ranks"):
        make_groups([training], replace(options, backends=("keras-torch",)))
    nodes = replace(options, devices=("2x1xcpu",), backends=("pytorch", "tensorflow"))
    jobs = make_jobs([training], nodes, find_suite("smoke"))
    assert {job.backend for job, _ in jobs} == {"pytorch"}
    with pytest.raises(PlanError, match="none of tensorflow trains on several nodes"):
        make_groups([training], replace(nodes, backends=("tensorflow",)))
    with pytest.raises(UnknownBackendError):
        adapter_of("keras-torch", "matched", 2)
    with pytest.raises(UnknownBackendError):
        adapter_of("pytorch", "native", 2)


@pytest.mark.framework
@pytest.mark.parametrize("backend", PARALLEL)
def test_the_same_checks_verify_two_ranks(backend, environments, places, tmp_path):
    """The models have partial batches that two ranks cannot share equally."""
    machine = this_machine()
    task = make_task(backend, "matched", "2xcpu", 2, environments, machine, places)
    chosen = replace(task.assignment, models=FEW, behaviour=FEW[:1], long=(), sizes=())
    task = replace(task, assignment=chosen)
    [record] = run_tasks([task], tmp_path, machine, make_record, timeout=600, observer=Watcher())
    print([(model, f.check, round(f.deviation, 3)) for model, f in record.findings])
    gone = [(piece.model, piece.unsupported, piece.failed[-900:]) for piece in record.pieces]
    assert (record.verdict, record.reason) == ("verified", ""), gone
    assert record.settings["ranks"] == 2


@pytest.mark.framework
@pytest.mark.parametrize("backend", PARALLEL)
def test_a_job_with_two_ranks_is_verified_and_equals_that_with_one(
    backend, environments, mnist_5k, tmp_path
):
    machine, workload = this_machine(), find_workload("mlp-relu")
    options = Options(backends=(backend,), devices=("cpu", "2xcpu"), threads=2, seeds=(0,))
    training = Training(workload=workload, data=mnist_5k, epochs=1)
    jobs = make_jobs([training], options, find_suite("smoke"))
    records = run_jobs(make_tasks(jobs, environments, machine, 1000), tmp_path, timeout=600)
    assert [record.status for record in records] == ["ok", "ok"], [r.details for r in records]
    one, two = sorted(records, key=lambda record: record.job.ranks)
    assert two.verification.passed
    losses = [record.epochs[0].running_loss for record in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-5)
    assert one.key != two.key
    assert two.epochs[0].training.cpu_seconds > 0


PROGRAM = """
import json, os, signal, sys, numpy as np
from backends.pytorch import rank, ranks
from bench.worker.verification.cases import make_case
from bench.worker.verification.checks import check_steps
from bench.worker.verification.models import EVERY
from specs.initial import initial_weights
from tests.support.jobs import make_job
"""
MUTANTS = """
random, found = np.random.RandomState(0), {}
def deviation(model):
    job = make_job(EVERY[model], backend="pytorch", device="2xcpu", batch_size=16)
    images = random.random_sample((1100, *job.workload.input.shape)).astype(np.float32)
    labels = random.randint(0, job.workload.input.classes, len(images))
    return check_steps(ranks.PyTorchRanks, make_case(job, images, labels)).deviation
found["right"] = deviation("digits, relu")
class SamePart(rank.Rank):
    def _own_part(self, batch):
        return batch[len(batch) // 2 :]
ranks.Rank = SamePart
found["both ranks train on the same part"] = deviation("digits, relu")
class Unweighted(rank.Rank):
    def _backward(self, loss, share):
        loss.backward()
ranks.Rank = Unweighted
found["parts of a partial batch weigh the same"] = deviation("digits, relu")
print(json.dumps(found))
"""
KILLED = """
job = make_job("softmax", backend="pytorch", device="2xcpu", batch_size=32)
images = np.zeros((64, 28, 28, 1), np.float32)
backend = ranks.PyTorchRanks(job)
backend.load(images, np.arange(64) % 10)
backend.set_weights(initial_weights(job.workload, 0))
backend.train_epoch(np.arange(64))
os.kill(backend.processes()[0], signal.SIGKILL)
try:
    backend.train_epoch(np.arange(64))
except Exception as error:
    print(json.dumps([type(error).__name__, str(error)]))
"""


def ask(environments, code, backend="pytorch", *arguments, **variables):
    """What a program prints as JSON in a backend's environment."""
    done = run(environments, code, backend, *arguments, **variables)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def run(environments, code, backend="pytorch", *arguments, **variables):
    python, _ = environments.of_worker(backend)
    return subprocess.run(
        [python, "-c", code, backend, *arguments],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1", **variables},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


NODES = """
import json, sys, numpy as np
from backends.registry import adapter_of
from bench.worker.adapter import load_class
from bench.worker.verification.cases import make_case
from bench.worker.verification.checks import check_steps
from bench.worker.verification.models import EVERY
from tests.support.jobs import make_job
backend, random, found = sys.argv[1], np.random.RandomState(0), {}
for model in sys.argv[3:]:
    job = make_job(
        EVERY[model], backend=backend, device=sys.argv[2], batch_size=16, compiled=backend == "jax"
    )
    images = random.random_sample((1100, *job.workload.input.shape)).astype(np.float32)
    labels = random.randint(0, job.workload.input.classes, len(images))
    made = load_class(adapter_of(backend, "matched", job.ranks, 2))
    found[model] = check_steps(made, make_case(job, images, labels)).deviation
print(json.dumps(found))
"""


@pytest.mark.framework
@pytest.mark.parametrize(
    "backend", [name for name, entry in BACKENDS.items() if entry.on_nodes is not None]
)
def test_the_same_checks_verify_two_nodes(backend, environments, tmp_path):
    """`srun` is a stand-in here; `tests/cluster/test_nodes.py` has the real one."""
    (tmp_path / "srun").write_text(f"#!/bin/sh\n{STARTS}")
    (tmp_path / "srun").chmod(0o755)
    models = (*FEW, *(["batch norm, nesterov"] if backend == "jax" else []))
    variables = {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "SLURMD_NODENAME": "n1"}
    device = "2x2xcpu" if backend == "jax" else "2x1xcpu"
    found = ask(environments, NODES, backend, device, *models, **variables)
    print(found)
    assert [*found] == [*models]
    assert max(found.values()) < 1


@pytest.mark.framework
def test_ranks_that_do_not_share_as_they_must_are_caught(environments):
    found = ask(environments, PROGRAM + MUTANTS)
    print(found)
    assert found.pop("right") < 1
    assert len(found) == 2
    assert min(found.values()) > 10


@pytest.mark.framework
def test_a_rank_that_is_killed_is_an_error_that_says_so(environments):
    kind, text = ask(environments, PROGRAM + KILLED)
    assert kind == "ChildGoneError"
    assert f"rank 1 ended in train_epoch with signal {signal.SIGKILL.name}" in text


HANGS = """
import time
from backends.far import team
job = make_job("softmax", backend="pytorch", device="2xcpu", batch_size=32)
backend = ranks.PyTorchRanks(job)
backend.load(np.zeros((64, 28, 28, 1), np.float32), np.arange(64) % 10)
backend._own.train_epoch = lambda *_: time.sleep(120)
team.WAIT_SECONDS = 4
backend.train_epoch(np.arange(64))
"""


@pytest.mark.framework
def test_rank_0_that_hangs_ends_and_says_so(environments):
    begin = time.monotonic()
    done = run(environments, PROGRAM + HANGS)
    assert done.returncode == 1
    assert "rank 0 hangs: 4 s after another rank's end of the same call" in done.stderr
    assert time.monotonic() - begin < 60


RAISES = """
from backends.far.child import Child
job = make_job("softmax", backend="pytorch", device="2xcpu", batch_size=32)
backend = ranks.PyTorchRanks(job)
backend.load(np.zeros((64, 28, 28, 1), np.float32), np.arange(64) % 10)
[other] = backend._others.children
other.begin = lambda method, *_: Child.begin(other, "no_such_method")
try:
    backend.train_epoch(np.arange(64))
except Exception as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.framework
def test_the_error_of_another_rank_is_told_and_not_that_rank_0_waits_for_it(environments):
    text = ask(environments, PROGRAM + RAISES, FRAMEWORK_BENCH_RANK_SECONDS="20")
    assert "no_such_method" in text.partition("\n")[0]


@pytest.mark.framework
def test_batch_norm_on_ranks_is_refused_by_pytorch_with_the_reason(environments):
    code = """
from backends.contract import Unsupported
try:
    ranks.PyTorchRanks(make_job(EVERY["batch norm, nesterov"], backend="pytorch", device="2xcpu"))
except Unsupported as reason:
    print(json.dumps(str(reason)))
"""
    assert "SyncBatchNorm" in ask(environments, PROGRAM + code)
    assert any(
        "BatchNorm" in type(layer).__name__ for layer in EVERY["batch norm, nesterov"].layers
    )
