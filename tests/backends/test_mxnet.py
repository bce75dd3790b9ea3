"""MXNet's adapter: what differs in MXNet is caught by the checks, and errors say what to do."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from backends.registry import BACKENDS
from bench.records.files import PROJECT

pytestmark = pytest.mark.framework


@pytest.fixture
def ask(course_environment):
    """A function: what a program prints as JSON, in MXNet's environment."""

    def run(code: str, **variables: str) -> dict:
        entry = BACKENDS["mxnet"]
        done = subprocess.run(
            [course_environment("mxnet"), "-W", "ignore", "-c", code],
            env={
                **os.environ,
                "PYTHONPATH": str(PROJECT),
                "OMP_NUM_THREADS": "1",
                **entry.variables,
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout.splitlines()[-1])

    return run


LOSSES = """
import json, mxnet as mx, numpy as np
from backends.mxnet.layers import CrossEntropy
random = np.random.RandomState(0)
logits, labels = (random.randn(512, 10) * 2).astype(np.float32), random.randint(0, 10, 512)
z = logits.astype(np.float64)
z -= z.max(1, keepdims=True)
p = np.exp(z) / np.exp(z).sum(1, keepdims=True)
rows = np.arange(512)
expected, slope = -np.log(p[rows, labels]), p - np.eye(10)[labels]
found = {}
for name, loss in (("ours", CrossEntropy()), ("gluon", mx.gluon.loss.SoftmaxCrossEntropyLoss())):
    loss.hybridize()
    x = mx.nd.array(logits)
    x.attach_grad()
    with mx.autograd.record():
        losses = loss(x, mx.nd.array(labels))
    losses.backward()
    pairs = ((losses, expected), (x.grad, slope))
    found[name] = [float(abs(value.asnumpy() - right).max()) for value, right in pairs]
print(json.dumps(found))
"""


def test_the_loss_is_exact_as_it_is_not_computed_by_onednn(ask):
    """A float32 of size 8 has an error of 5e-7, and a loss takes two; a gradient is at most 1.

    Gluon's own loss had errors of 4e-6 and 3e-6 here. Another CPU may have other kernels, so these
    are not asserted.
    """
    found = ask(LOSSES)
    print(found)
    loss, gradient = found["ours"]
    assert loss < 1.2e-6
    assert gradient < 3e-7


MUTANTS = """
import json, mxnet as mx, numpy as np
from backends.mxnet import gluon as adapter, layers, updates
from bench.worker.verification.cases import make_case
from bench.worker.verification.checks import check_epoch, check_steps
from bench.worker.verification.models import EVERY
from tests.support.jobs import make_job

random = np.random.RandomState(0)
def deviation(check, name):
    job = make_job(EVERY[name], backend="mxnet", batch_size=16)
    shape = job.workload.input.shape
    images = random.random_sample((1100, *shape)).astype(np.float32)
    labels = random.randint(0, job.workload.input.classes, len(images))
    return check(adapter.Mxnet, make_case(job, images, labels)).deviation

def with_other(module, name, other, check, model):
    own = getattr(module, name)
    setattr(module, name, other(own))
    try:
        return deviation(check, model)
    finally:
        setattr(module, name, own)

def mxnets_adam(own):
    return lambda s: mx.optimizer.Adam(s.learning_rate, s.beta_1, s.beta_2, s.epsilon)

def full_batches(own):
    class Trainer(own):
        def step(self, size):
            super().step(16)
    return Trainer

after, norm = "strides, same, adam after", "batch norm, nesterov"
found = {name: deviation(check_epoch, name) for name in (after, norm, "adamw before")}
found["epsilon before"] = with_other(updates, "SpecifiedAdam", mxnets_adam, check_steps, after)
found["no decay"] = with_other(
    updates, "SpecifiedAdam", mxnets_adam, check_steps, "adamw before"
)
found["partial batch"] = with_other(
    mx.gluon, "Trainer", full_batches, check_epoch, "tanh, sgd"
)
found["fixed scale"] = with_other(
    layers.nn, "BatchNorm", lambda own: lambda **o: own(scale=False, **o), check_steps, norm
)
found["flatten"] = with_other(
    adapter, "to_channels_first", lambda own: lambda w, _: own(w, None), check_steps, "tanh, sgd"
)
found["nesterov"] = with_other(
    mx.optimizer, "NAG", lambda own: mx.optimizer.SGD, check_steps, norm
)
print(json.dumps(found))
"""


def test_what_mxnet_does_by_itself_is_caught_by_the_checks(ask):
    """Its Adam has another epsilon; a step divides by the size given; batch norm may fix scale."""
    found = ask(MUTANTS)
    print(found)
    right = [found.pop(name) for name in list(found)[:3]]
    assert max(right) < 0.75
    assert len(found) == 6
    assert min(found.values()) > 10


RESET = """
import json, numpy as np
from mxnet.gluon import block
from backends.mxnet.gluon import Mxnet
from specs.initial import initial_weights
from tests.support.jobs import make_job
graphs, own = [], block.ndarray.CachedOp
block.ndarray.CachedOp = lambda *args, **options: graphs.append(1) or own(*args, **options)
job = make_job("mlp-relu-dropout", backend="mxnet", seed=2**32 - 1, batch_size=32)
images = np.random.RandomState(0).random_sample((80, 28, 28, 1)).astype(np.float32)
backend, weights = Mxnet(job), initial_weights(job.workload, job.seed)
backend.load(images, np.arange(80) % 10)
def train():
    backend.reset(weights)
    losses = [backend.train_epoch(np.arange(80)[::turn]) for turn in (1, -1)]
    return [losses, backend.predict(images).tolist()]
first, planned = train(), len(graphs)
again = train()
print(json.dumps([first == again, planned, len(graphs)]))
"""


def test_reset_repeats_the_training_with_the_same_graphs(ask):
    """Also of dropout, and with a partial batch: one graph trains, one predicts."""
    assert ask(RESET) == [True, 2, 2]


THREADS = """
import json, os, numpy as np
from backends.mxnet.engine import MxnetEngine
from tests.support.jobs import make_job
engine = MxnetEngine(make_job(threads=%d))
x = engine.put(np.ones((1000, 1000)))
engine.wait(engine.matmul(np.ones((1000, 1000)))(x))
print(json.dumps([engine.settings()["threads"], len(os.listdir("/proc/self/task"))]))
"""


def test_the_number_of_threads_is_the_variable_s_and_is_reported(ask):
    """Each process of MXNet has the same helpers; OpenMP's and OpenBLAS's threads are added."""
    counts = [ask(THREADS % count, OMP_NUM_THREADS=str(count)) for count in (1, 3)]
    assert [reported for reported, _ in counts] == [1, 3]
    assert counts[1][1] - counts[0][1] >= 2


def test_the_variables_of_the_user_do_not_change_what_is_computed(ask, monkeypatch):
    monkeypatch.setenv("MXNET_ENGINE_TYPE", "NaiveEngine")
    monkeypatch.setenv("MXNET_SAFE_ACCUMULATION", "1")
    monkeypatch.setenv("MXNET_MKLDNN_ENABLED", "0")
    code = "import json; from backends.mxnet.device import device_settings as s; "
    found = ask(code + "print(json.dumps(s()))")
    assert found["engine"] == "ThreadedEnginePerDevice"
    assert found["safe_accumulation"] == "0"
    assert found["onednn"]


REFUSED = """
import json
from backends.contract import Unsupported
from tests.support.jobs import make_job
found = []
for changes in ({"device": "cuda:0"}, {"precision": "bfloat16"}, {"compiled": True},
                {"mode": "native"}):
    try:
        from backends.mxnet.gluon import Mxnet
        Mxnet(make_job(**changes))
        found.append("")
    except Unsupported as error:
        found.append(str(error))
print(json.dumps(found))
"""


def test_what_this_mxnet_cannot_do_is_refused_with_the_reason(ask):
    cuda, bfloat16, compiled, native = ask(REFUSED)
    assert cuda == "MXNet 1.9.1 reports no cuda device: its last builds on PyPI are for CPUs"
    assert bfloat16 == "this adapter does not train in mixed precision"
    assert compiled == "MXNet has no compiler"
    assert "MXNet is retired" in native


@pytest.mark.parametrize(
    ("fails_with", "hint"),
    [
        ("AttributeError('no attribute bool')", "pip install numpy==1.23.5"),
        ("OSError('libquadmath.so.0: no such file')", "apt-get install libgomp1 libquadmath0"),
    ],
)
def test_an_mxnet_that_cannot_be_imported_says_what_to_install(ask, tmp_path, fails_with, hint):
    (tmp_path / "mxnet.py").write_text(f"raise {fails_with}\n")
    [found, *_] = ask(REFUSED, PYTHONPATH=f"{tmp_path}{os.pathsep}{PROJECT}")
    assert hint in found
    assert "no" in found
