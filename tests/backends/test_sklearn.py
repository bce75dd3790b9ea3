"""scikit-learn's adapters: what they refuse, and that the checks catch what scikit-learn does."""

from __future__ import annotations

import json
import os
import subprocess

import pytest
from msgspec.structs import replace

from backends.contract import Unsupported
from backends.registry import BACKENDS, refusal
from backends.registry import script as text_of
from backends.sklearn.structure import structure_of
from bench.records.files import PROJECT
from bench.runner.verification import models_of
from bench.worker.verification.models import BEHAVIOUR, DENSE, EVERY, MODELS
from specs.loading import find_workload
from specs.model import Input
from tests.support.script_cases import EVERY as WORKLOADS
from tests.support.script_cases import made


def ask(code: str, environments) -> dict:
    """What a program prints as JSON, in scikit-learn's environment, where warnings are errors."""
    done = subprocess.run(
        [environments.require("scikit-learn"), "-W", "error", "-c", code],
        env={**os.environ, "PYTHONPATH": str(PROJECT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cnn", "dense layers only, and this model has conv2d, max_pool2d, dropout"),
        ("mlp-relu-dropout", "dense layers only, and this model has dropout"),
        ("mlp-relu-quadratic", "has no quadratic cost, its loss is the cross-entropy"),
        ("mlp-elu", "scikit-learn has no elu, its activations are relu, sigmoid, tanh, linear"),
        ("mixed-relu", "one activation for all hidden layers, and this model has relu, tanh"),
    ],
)
def test_a_model_that_scikit_learn_cannot_have_is_refused_with_the_reason(name, why):
    assert why in refusal("scikit-learn", WORKLOADS[name])


def test_two_classes_are_refused_as_they_have_no_softmax():
    two = replace(find_workload("softmax"), input=Input(shape=(28, 28, 1), classes=2))
    with pytest.raises(Unsupported, match="two classes with one sigmoid"):
        structure_of(two)


@pytest.mark.parametrize(
    ("name", "sizes", "activation"),
    [
        ("softmax", (), "relu"),
        ("mlp-sigmoid", (9, 7), "logistic"),
        ("mlp-linear", (9, 7), "identity"),
    ],
)
def test_a_model_of_dense_layers_is_the_classifier_of_these_arguments(name, sizes, activation):
    found = structure_of(WORKLOADS[name])
    assert (found.hidden_layer_sizes, found.activation, found.classes) == (sizes, activation, 10)


def test_a_backend_is_verified_on_all_models_or_on_those_that_it_can_have_and_dense_ones():
    assert models_of("pytorch") == (tuple(MODELS), BEHAVIOUR)
    models, behaviour = models_of("scikit-learn")
    assert models == ("softmax", "mlp-relu", "adagrad outside, zeros", *DENSE)
    assert {*behaviour} <= {*models}
    assert not any(refusal("scikit-learn", EVERY[name]) for name in models)


def test_the_dense_models_have_every_optimizer_of_the_others():
    def kinds(models):
        """Optimizers with the settings that are no numbers: the forms of epsilon, momentum."""
        return {
            (type(o), getattr(o, "epsilon_form", ""), bool(getattr(o, "momentum", 0)))
            for o in (model.optimizer for model in models)
        }

    dense = [*DENSE.values(), *(MODELS[name] for name in ("softmax", "adagrad outside, zeros"))]
    assert kinds(dense) == kinds(MODELS.values())


MUTANTS = """
import json, numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import AdamOptimizer
from backends.sklearn import network, partial_fit
from bench.worker.verification.cases import make_case
from bench.worker.verification.checks import check_epoch, check_extremes, check_steps
from bench.worker.verification.models import EVERY
from tests.support.jobs import make_job

random = np.random.RandomState(0)
def deviation(check, name):
    job = make_job(EVERY[name], backend="scikit-learn", batch_size=16)
    shape = job.workload.input.shape
    images = random.random_sample((1100, *shape)).astype(np.float32)
    labels = random.randint(0, job.workload.input.classes, len(images))
    return check(partial_fit.ScikitLearn, make_case(job, images, labels)).deviation

found = {"exact loss": deviation(check_extremes, "mlp-relu")}
own = network.Network._backprop
network.Network._backprop = MLPClassifier._backprop
found["own loss"] = deviation(check_extremes, "mlp-relu")
network.Network._backprop = own
found["after"] = deviation(check_steps, "dense relu, adam after")
build = partial_fit.build_optimizer
partial_fit.build_optimizer = lambda spec, params: AdamOptimizer(
    params, spec.learning_rate, spec.beta_1, spec.beta_2, spec.epsilon
)
found["own adam"] = deviation(check_steps, "dense relu, adam after")
partial_fit.build_optimizer = build
made = partial_fit.build
partial_fit.build = lambda *args, **options: made(*args, **{**options, "alpha": 1e-4})
found["own penalty"] = deviation(check_steps, "dense tanh, sgd")
partial_fit.build = lambda *args, **options: made(*args, **{**options, "shuffle": True})
found["own shuffle"] = deviation(check_epoch, "dense tanh, nesterov")
print(json.dumps(found))
"""


@pytest.mark.framework
def test_what_scikit_learn_does_by_itself_is_caught_by_the_checks(environments):
    """Its loss is at most 15.9, its Adam has another epsilon; it has a penalty and a shuffle."""
    found = ask(MUTANTS, environments)
    print(found)
    assert found["exact loss"] < 1
    assert found["after"] < 1
    assert found["own loss"] > 100
    assert found["own adam"] > 100
    assert found["own penalty"] > 10
    assert found["own shuffle"] > 10


THREADS = """
import json
from threadpoolctl import threadpool_info
from backends.sklearn.partial_fit import ScikitLearn
from tests.support.jobs import make_job
found = []
for threads in (1, 2):
    settings = ScikitLearn(make_job("mlp-relu", threads=threads)).settings()
    pools = {pool["num_threads"] for pool in threadpool_info()}
    found.append([settings["threads"], *pools])
print(json.dumps(found))
"""


@pytest.mark.framework
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two CPUs")
def test_the_libraries_have_the_threads_of_the_job_and_report_them(environments):
    assert ask(THREADS, environments) == [[1, 1], [2, 2]]


DTYPES = """
import json
from backends.sklearn.partial_fit import ScikitLearn
from bench.worker.verification.models import EVERY
from tests.support.jobs import make_job
print(json.dumps({name: ScikitLearn(make_job(EVERY[name])).settings() for name in %r}))
"""


@pytest.mark.framework
def test_the_settings_say_in_which_type_it_computes(environments):
    """scikit-learn's own Adam changes float32 weights by float64 numbers."""
    names = ("dense tanh, sgd", "dense tanh, adam before", "dense relu, adam after", "softmax")
    found = ask(DTYPES % (names,), environments)
    assert {each["dtype"] for each in found.values()} == {"float32"}
    assert [(each["optimizer"], each["update_dtype"]) for each in found.values()] == [
        ("SGDOptimizer", "float32"),
        ("AdamOptimizer", "float64"),
        ("FormulaOptimizer", "float32"),
        ("FormulaOptimizer", "float32"),
    ]


DIVERGES = """
import json, math, numpy as np
from backends.sklearn.partial_fit import ScikitLearn
from specs.model import Sgd
from msgspec.structs import replace
from tests.support.jobs import make_job, named
spec = Sgd(learning_rate=1e30, momentum=0.0, nesterov=False)
backend = ScikitLearn(make_job(replace(named("mlp-relu"), optimizer=spec)))
rows = np.random.RandomState(0).random_sample((640, 28, 28, 1)).astype(np.float32)
backend.load(rows, np.arange(640) % 10)
with np.errstate(all="ignore"):
    loss = backend.train_epoch(np.arange(640))
backend.load(np.where(rows < 0.5, np.nan, rows), np.arange(640) % 10)
try:
    backend.reset({name: np.ones_like(value) for name, value in backend.get_weights().items()})
    backend.train_epoch(np.arange(64))
    raised = False
except ValueError:
    raised = True
print(json.dumps([math.isnan(loss), raised]))
"""


@pytest.mark.framework
def test_a_training_that_diverges_has_the_loss_nan_and_other_errors_are_raised(environments):
    assert ask(DIVERGES, environments) == [True, True]


SAME_AS_FIT = """
import json, numpy as np, warnings
from sklearn.neural_network import MLPClassifier
from backends.sklearn.native import ScikitLearnNative
from backends.sklearn.network import Network
from tests.support.jobs import make_job
job = make_job("mlp-relu", backend="scikit-learn", mode="native", batch_size=32)
rows = np.random.RandomState(1).random_sample((300, 28, 28, 1)).astype(np.float32)
labels = np.arange(300) % 10
ours = ScikitLearnNative(job)
ours.load(rows, labels)
ours.train_epoch(np.arange(1))
random = np.random.RandomState(0)
fitted = MLPClassifier((200, 100, 60, 30), batch_size=32, max_iter=1, random_state=random)
with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    fitted.fit(rows.reshape(300, -1), labels)
arrays = [a for pair in zip(fitted.coefs_, fitted.intercepts_) for a in pair]
pairs = zip(arrays, ours.get_weights().values())
same = max(float(abs(a - b).max()) for a, b in pairs)
print(json.dumps({"same": same, "read": ours.read_inputs()}))
"""


@pytest.mark.framework
def test_a_native_epoch_is_what_fit_does_in_an_iteration(environments):
    """From the same seed: the same initial weights, shuffle, steps and constants, bit by bit."""
    assert ask(SAME_AS_FIT, environments) == {"same": 0.0, "read": 300}


@pytest.mark.framework
@pytest.mark.parametrize("workload", ["softmax", "mlp-relu"])
def test_a_script_runs_and_learns(workload, tmp_path, environments):
    from tests.backends.test_script_runs import small_arrays, write_data

    write_data(tmp_path, small_arrays())
    script = tmp_path / "script.py"
    script.write_text(text_of("scikit-learn", made(workload, recipe={"epochs": 20})))
    done = subprocess.run(
        [environments.require("scikit-learn"), script],
        cwd=tmp_path,
        env={**os.environ, **BACKENDS["scikit-learn"].variables, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,  # the end of what it says is shown
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # 520 images are enough for three of four; by chance one of ten is right.
    assert float(done.stdout.split()[-1]) > 0.7
