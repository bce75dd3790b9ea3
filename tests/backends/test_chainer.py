"""Chainer's adapter: the checks catch what Chainer does by itself; threads, memory and errors."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from backends.registry import BACKENDS
from bench.records.files import PROJECT


@pytest.fixture
def ask(course_environment):
    """A function: what a program prints as JSON, in Chainer's environment, by a worker's variables.

    Warnings are errors but for those of Chainer's own imports.
    """

    def run(code: str, *, warnings: str = "error", **variables: str) -> dict:
        quiet = (
            "import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('ignore')"
        )
        done = subprocess.run(
            [
                course_environment("chainer"),
                "-c",
                f"{quiet}\n    import chainer\nwarnings.simplefilter({warnings!r})\n{code}",
            ],
            env={
                **os.environ,
                **BACKENDS["chainer"].variables,
                "PYTHONPATH": str(PROJECT),
                "OMP_NUM_THREADS": "1",
                **variables,
            },
            capture_output=True,
            text=True,
            check=False,
            timeout=300,
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


MUTANTS = """
import json, numpy as np
from chainer import functions, links, optimizers
from backends.chainer import eager, layers, updates
from bench.worker.verification.cases import make_case
from bench.worker.verification.checks import check_steps
from bench.worker.verification.models import EVERY
from tests.support.jobs import make_job

random = np.random.RandomState(0)
def deviation(name, check=check_steps):
    job = make_job(EVERY[name], backend="chainer", batch_size=16)
    shape = job.workload.input.shape
    images = random.random_sample((1100, *shape)).astype(np.float32)
    labels = random.randint(0, job.workload.input.classes, len(images))
    return check(eager.Chainer, make_case(job, images, labels)).deviation

found = {}
def compare(title, name, place, attribute, value, check=check_steps):
    ours = getattr(place, attribute)
    before = deviation(name, check)
    setattr(place, attribute, value)
    found[title] = [before, deviation(name, check)]
    setattr(place, attribute, ours)

def build(optimizer):
    return lambda spec: optimizer(spec)

slope = layers._ACTIVATIONS | {"leaky_relu": functions.leaky_relu}
compare("leaky slope", "adamw after", layers, "_ACTIVATIONS", slope)
compare("running variance", "batch norm, nesterov", layers, "BiasedBatchNorm",
        links.BatchNormalization)
compare("nesterov", "batch norm, nesterov", updates, "Nesterov", optimizers.NesterovAG)
compare("adam", "strides, same, adam after", updates, "AdamAfter", optimizers.Adam)
compare("adagrad's epsilon", "quadratic, adagrad inside", eager, "build_optimizer",
        build(lambda spec: optimizers.AdaGrad(spec.learning_rate, spec.epsilon)))
compare("adagrad's start", "adagrad outside, zeros", eager, "build_optimizer",
        build(lambda spec: optimizers.AdaGrad(spec.learning_rate, spec.epsilon)))
compare("adadelta's rate", "dense tanh, adadelta", eager, "build_optimizer",
        build(lambda spec: optimizers.AdaDelta(spec.rho, spec.epsilon)))
compare("rmsprop's epsilon", "digits, tanh", eager, "build_optimizer",
        build(lambda spec: optimizers.RMSprop(spec.learning_rate, spec.rho, spec.epsilon)))
compare("decay", "adamw before", updates.optimizers, "Adam",
        lambda **options: optimizers.adam.Adam(
            **{**options, "weight_decay_rate": options["weight_decay_rate"] / options["alpha"]}))
compare("mean squared error", "quadratic, adagrad inside", eager, "build_loss",
        lambda workload: functions.softmax_cross_entropy)
print(json.dumps(found))
"""


@pytest.mark.framework
def test_what_chainer_does_by_itself_is_caught_by_the_checks(ask):
    """Slopes, running variance, Nesterov, places of epsilon, first accumulator, rate, decay."""
    found = ask(MUTANTS)
    print(found)
    assert len(found) == 10
    for title, (ours, chainers) in found.items():
        assert ours < 1, title
        assert chainers > 10, title


POOLS = """
import json, numpy as np
from backends.chainer.eager import Chainer
from backends.chainer.layers import Model
from msgspec.structs import replace
from specs.model import Flatten, Input, MaxPool2d, AvgPool2d, Dense
from specs.shapes import infer_shapes
from tests.support.jobs import make_job, named
softmax, found = named("softmax"), []
for pool in (MaxPool2d(pool_size=(2, 2)), AvgPool2d(pool_size=(2, 2))):
    layers = (pool, Flatten(), Dense(units=3, activation="linear"))
    spec = replace(softmax, layers=layers, input=Input(shape=(5, 7, 1), classes=3))
    model = Model(spec)
    found.append([list(model[0](np.ones((1, 1, 5, 7), np.float32)).shape[2:]),
                  list(infer_shapes(spec)[0].output[:2])])
print(json.dumps(found))
"""


@pytest.mark.framework
def test_a_partial_window_of_a_pool_is_dropped(ask):
    """Unless told, Chainer's max-pool has three windows on five pixels."""
    assert ask(POOLS) == [[[2, 3], [2, 3]]] * 2


SETTINGS = """
import json
from threadpoolctl import threadpool_info
from backends.chainer.eager import Chainer
from tests.support.jobs import make_job
found = []
for threads in (1, 2):
    settings = Chainer(make_job("cnn", threads=threads)).settings()
    found.append([settings, sorted({pool["num_threads"] for pool in threadpool_info()})])
print(json.dumps(found))
"""


@pytest.mark.framework
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_the_library_has_the_threads_of_the_job_and_variables_change_no_setting(ask):
    """Chainer takes its type, iDeep and checks from variables that a user may have set."""
    users = {"CHAINER_DTYPE": "float16", "CHAINER_USE_IDEEP": "auto", "CHAINER_DEBUG": "1"}
    found = ask(SETTINGS, **users)
    assert [(settings["threads"], pools) for settings, pools in found] == [(1, [1]), (2, [2])]
    for settings, _ in found:
        assert settings["dtype"] == settings["default_dtype"] == "float32"
        assert (settings["ideep"], settings["debug"]) == ("never", False)
        assert settings["optimizer"] == "AdaDelta"
        assert settings["device"] == "cpu"
        # A worker's variables make OpenBLAS choose by what the processor can do.
        has_avx2 = "avx2" in Path("/proc/cpuinfo").read_text()
        assert not (has_avx2 and "Prescott" in settings["blas"]), settings["blas"]


RESETS = """
import json, numpy as np
from backends.chainer.eager import Chainer
from specs.initial import initial_weights
from tests.support.jobs import make_job, named
job = make_job("mlp-relu-dropout", batch_size=32)
random = np.random.RandomState(1)
images = random.random_sample((96, 28, 28, 1)).astype(np.float32)
labels = np.arange(96) % 10
copies = images.copy(), labels.copy()
backend, weights = Chainer(job), initial_weights(job.workload, 0)
def losses():
    backend.reset(weights)
    return [backend.train_epoch(np.arange(80)) for _ in range(2)]
backend.load(images, labels)
backend.set_weights(weights)
own = [backend.train_epoch(np.arange(80)) for _ in range(2)]
masks = [np.ones((80, size), bool) for size in (200, 100, 60, 30)]
backend.train_epoch(np.arange(80), masks)
backend.predict(images)
unchanged = bool((images == copies[0]).all() and (labels == copies[1]).all())
print(json.dumps({"own": own, "again": losses(), "unchanged": unchanged}))
"""


@pytest.mark.framework
def test_after_a_reset_optimizer_and_dropout_are_new_and_no_mask_is_left(ask):
    found = ask(RESETS)
    assert found["again"] == found["own"]
    assert found["own"][0] != found["own"][1]
    assert found["unchanged"]


GRAPHS = """
import gc, json, weakref, numpy as np
from chainer import function_node
from backends.chainer.eager import Chainer
from specs.initial import initial_weights
from tests.support.jobs import make_job
job = make_job("lenet5", batch_size=16)
backend = Chainer(job)
backend.load(np.ones((64, 28, 28, 1), np.float32), np.arange(64) % 10)
backend.set_weights(initial_weights(job.workload, 0))
alive = []
update = backend._optimizer.update
def count():
    update()
    alive.append(sum(isinstance(each, function_node.FunctionNode) for each in gc.get_objects()))
backend._optimizer.update = count
gc.disable()
backend.train_epoch(np.arange(64))
logits = backend.predict(np.ones((3, 28, 28, 1), np.float32))
left = sum(isinstance(each, function_node.FunctionNode) for each in gc.get_objects())
print(json.dumps({"alive": alive, "left": left, "shape": logits.shape, "dtype": str(logits.dtype)}))
"""


@pytest.mark.framework
def test_the_graph_of_a_step_ends_before_the_next_one_is_built(ask):
    """Two graphs at a time would take twice the memory; a prediction has none."""
    found = ask(GRAPHS)
    assert len(set(found["alive"])) == 1
    assert found["alive"][0] > 5
    assert found["left"] == 0
    assert (found["shape"], found["dtype"]) == ([3, 10], "float32")


REFUSALS = """
import json
from backends.chainer.eager import Chainer
from backends.chainer.engine import ChainerEngine
from backends.contract import Unsupported
from tests.support.jobs import make_job
found = []
for kind in (Chainer, ChainerEngine):
    for name, value in (("device", "cuda:0"), ("device", "mps"), ("compiled", True),
                        ("precision", "tf32")):
        try:
            kind(make_job(**{name: value}))
        except Unsupported as error:
            found.append(str(error))
print(json.dumps(found))
"""


@pytest.mark.framework
def test_a_gpu_and_a_compiler_are_refused_with_the_reason(ask):
    found = ask(REFUSALS)
    assert len(found) == 8
    for cuda, mps, compiled, tf32 in (found[:4], found[4:]):
        assert "computes with CuPy, version 7.7 to 7.8, which is not installed" in cuda
        assert "Chainer reports no mps device" in mps
        assert compiled == "Chainer has no compiler"
        assert "TF32 is a format of GPUs" in tf32


DIVERGES = """
import json, math, numpy as np
from backends.chainer.eager import Chainer
from specs.model import Sgd
from msgspec.structs import replace
from tests.support.jobs import make_job, named
spec = Sgd(learning_rate=1e30, momentum=0.0, nesterov=False)
backend = Chainer(make_job(replace(named("mlp-relu"), optimizer=spec)))
backend.load(np.random.RandomState(0).random_sample((640, 28, 28, 1)).astype(np.float32),
             np.arange(640) % 10)
with np.errstate(all="ignore"):
    loss = backend.train_epoch(np.arange(640))
print(json.dumps(math.isfinite(loss)))
"""


@pytest.mark.framework
def test_a_training_that_diverges_has_no_finite_loss(ask):
    assert ask(DIVERGES) is False


ENGINE = """
import json, numpy as np
from backends.chainer.engine import ChainerEngine
from tests.support.jobs import make_job
random = np.random.RandomState(0)
engine = ChainerEngine(make_job())
left, right = random.random_sample((2, 8, 8))
images, kernel = random.random_sample((2, 6, 5, 3)), random.random_sample((3, 3, 3, 3))
padded = np.pad(images, ((0, 0), (1, 1), (1, 1), (0, 0)))
expected = sum(
    padded[:, i : i + 6, j : j + 5] @ kernel[i, j] for i in range(3) for j in range(3)
)
read, put = engine.read, engine.put
found = [
    abs(read(engine.matmul(right)(put(left))) - left @ right).max(),
    abs(read(engine.convolution(kernel)(put(images))) - expected).max(),
    abs(read(engine.accumulate(left[0])(put(right[0]))) - left[0] - right[0]).max(),
]
print(json.dumps([float(each) for each in found]))
"""


@pytest.mark.framework
def test_the_engine_computes_what_it_should(ask):
    assert max(ask(ENGINE)) < 1e-5


IMPORT = """
import json, sys
for name in [name for name in sys.modules if name.partition(".")[0] in ("chainer", "backends")]:
    del sys.modules[name]
sys.modules["pkg_resources"] = None
try:
    import backends.chainer.eager
except ImportError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.framework
def test_a_chainer_that_cannot_be_imported_says_what_it_needs(ask):
    text = ask(IMPORT, warnings="ignore")
    assert text.startswith("Chainer cannot be imported (")
    assert "needs NumPy 1, setuptools before 74 and Python 3.11 or older" in text
