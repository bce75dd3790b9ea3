"""Theano's adapter: each trap of Theano has a test that would catch it, and so has each refusal."""

from __future__ import annotations

import ast
import json
import os
import subprocess

import msgspec
import numpy as np
import pytest

from backends.registry import BACKENDS
from backends.registry import script as text_of
from bench.records.files import PROJECT
from specs.initial import initial_weights
from specs.loading import find_workload
from tests.backends.test_script_runs import small_arrays, steps_and_reference, write_data
from tests.support.script_cases import CASES, MADE_UP


def run(code: str, python, folder, **variables: str) -> subprocess.CompletedProcess[str]:
    """A program in Theano's environment; its temporary and home folders are in `folder`."""
    for name in ("home", "temporary"):
        (folder / name).mkdir(exist_ok=True)
    own = {"HOME": str(folder / "home"), "TMPDIR": str(folder / "temporary")}
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    return subprocess.run(
        [python, "-c", code],
        env={
            **os.environ,
            **BACKENDS["theano"].variables,
            "PYTHONPATH": str(PROJECT),
            **own,
            **threads,
            **variables,
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def ask(code: str, python, folder, **variables: str) -> dict:
    """What the program prints as JSON."""
    done = run(code, python, folder, **variables)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture
def python(course_environment):
    return course_environment("theano")


def test_only_one_file_imports_theano_as_its_flags_must_be_set_before():
    for path in (PROJECT / "backends" / "theano").glob("*.py"):
        nodes = ast.walk(ast.parse(path.read_text()))
        found = [
            name
            for node in nodes
            for name in (
                [alias.name for alias in node.names]
                if isinstance(node, ast.Import)
                else [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else []
            )
            if name.partition(".")[0] == "theano"
        ]
        assert bool(found) is (path.name == "framework.py"), path


LAYERS = """
import json, numpy as np
from backends.theano.framework import tensor, theano
from backends.theano.layers import elu, leaky_relu, relu
from backends.theano.pool import max_pool

def slope(function, values):
    x = tensor.vector()
    gradient = theano.function([x], theano.grad(function(x).sum(), x))
    return gradient(np.array(values, np.float32)).tolist()

def value(function, values):
    x = tensor.vector()
    return theano.function([x], function(x))(np.array(values, np.float32))

def pooled(window, images):
    x = tensor.tensor4()
    y = max_pool(x, window)
    weights = tensor.arange(1, y.size + 1).reshape(y.shape).astype("float32")
    both = theano.function([x], [y, theano.grad((y * weights).sum(), x)])
    return [array.tolist() for array in both(np.array(images, np.float32))]

ties = [[[[0, 0, 1, 2, 9], [0, 0, 2, 2, 9], [9, 9, 9, 9, 9]]]]
found = {
    "relu": slope(relu, [-1, 0, 2]),
    "leaky": slope(leaky_relu, [-1, 0, 2]),
    "elu": slope(elu, [0, 100]),
    "nan": np.isnan(value(relu, [np.nan])).all(),
    "pool": [pooled((2, 2), ties)],
    "wide": pooled((1, 3), [[[[3, 3, 1, 5]]]]),
}
theano.config.openmp = True
found["pool"].append(pooled((2, 2), ties))
print(json.dumps(found, default=bool))
"""


@pytest.mark.framework
def test_slopes_at_zero_and_ties_of_a_pool_are_those_of_the_workloads(python, tmp_path):
    """Odd images, windows that are not square, with and without threads."""
    found = ask(LAYERS, python, tmp_path)
    first = [[[[1, 0, 0, 2, 0], [0, 0, 0, 0, 0], [0, 0, 0, 0, 0]]]]
    assert found == {
        "relu": [0, 0, 1],
        "leaky": pytest.approx([0.01, 0.01, 1]),
        "elu": [1, 1],
        "nan": True,
        "pool": [[[[[[0, 2]]]], first]] * 2,
        "wide": [[[[[3]]]], [[[[1, 0, 0, 0]]]]],
    }


THREADS = """
import json
from backends.theano.functions import Theano
from bench.worker.verification.models import MODELS
from tests.support.jobs import make_job
job = make_job(MODELS["digits, relu"], backend="theano", compiled=True, threads=2)
backend = Theano(job)
nodes = backend._step.maker.fgraph.toposort()
found = {
    "parallel": sorted(type(node.op).__name__ for node in nodes if getattr(node.op, "openmp", 0)),
    "blas": sorted({node.op.blas_type for node in nodes if hasattr(node.op, "blas_type")}),
    "in_python": [str(node.op) for node, thunk in zip(nodes, backend._step.fn.thunks)
                  if not hasattr(thunk, "cthunk")],
}
print(json.dumps({**found, "settings": backend.settings()}))
"""


@pytest.mark.framework
def test_threads_are_set_and_read_back_and_every_operation_is_compiled(python, tmp_path):
    found = ask(THREADS, python, tmp_path)
    assert {"CorrMM", "CorrMM_gradWeights", "_GradientToFirst", "Elemwise"} <= {*found["parallel"]}
    # Theano sets this BLAS to one thread within the threads of a convolution, as it knows its name.
    assert found["blas"] == ["openblas"]
    assert found["in_python"] == []
    settings = found["settings"]
    assert (settings["threads"], settings["openmp_threads"]) == (2, 2)
    assert settings["compiled"] is True
    assert settings["allow_gc"] is False
    assert (settings["device"], settings["dtype"]) == ("cpu", "float32")
    assert "OpenBLAS" in settings["blas"]


COMPILATIONS = """
import json, numpy as np
from tests.support.compilations import counter
compiled = counter("theano")
from backends.theano.framework import theano
from backends.theano.functions import Theano
from specs.initial import initial_weights
from tests.support.jobs import make_job
job = make_job("mlp-relu-dropout", backend="theano", compiled=True, batch_size=32)
backend = Theano(job)
built = compiled()
random = np.random.RandomState(0)
backend.load(random.random_sample((80, 28, 28, 1)).astype(np.float32), random.randint(0, 10, 80))
weights = initial_weights(job.workload, 0)
copies = {name: weight.copy() for name, weight in weights.items()}
losses = []
for order in (np.arange(64), np.arange(80)):
    backend.reset(weights)
    losses.append([backend.train_epoch(order), backend.train_epoch(order[:7])])
backend.reset(weights)
again = [backend.train_epoch(np.arange(80)), backend.train_epoch(np.arange(7))]
backend.predict(random.random_sample((3, 28, 28, 1)).astype(np.float32))
untouched = all((weights[name] == copy).all() for name, copy in copies.items())
products = [node for node in backend._step.maker.fgraph.toposort()
            if type(node.op).__name__.startswith(("Dot22", "Gemm"))]
wide = [str(v) for node in backend._step.maker.fgraph.toposort() for v in node.outputs
        if getattr(v, "dtype", "") == "float64" and v.ndim]
print(json.dumps({"built": built, "later": compiled() - built, "same": again == losses[1],
                  "untouched": untouched, "products": len(products), "wide": wide,
                  "openmp": theano.config.openmp, "threads": backend.settings()["threads"],
                  "folder": theano.config.compiledir}))
"""


@pytest.mark.framework
def test_a_partial_batch_and_a_reset_compile_nothing_and_the_start_comes_back(python, tmp_path):
    """Also what is compiled: a product is not computed twice, and no array is float64."""
    found = ask(COMPILATIONS, python, tmp_path)
    assert found["built"] >= 2
    assert found["later"] == 0
    assert found["same"]
    assert found["untouched"]
    # Per dense layer forward, by the weights, and by the inputs except those of the first.
    layers = len(initial_weights(find_workload("mlp-relu-dropout"), 0)) // 2
    assert found["products"] == 3 * layers - 1
    assert found["wide"] == []
    assert (found["openmp"], found["threads"]) == (False, 1)
    # The folder of this process, which is gone; nothing was put into the user's own.
    assert found["folder"].startswith(str(tmp_path / "temporary"))
    assert [*(tmp_path / "temporary").iterdir()] == []
    assert [*(tmp_path / "home").iterdir()] == []


REFUSES = """
import json
from backends.contract import Unsupported
from tests.support.jobs import make_job
reasons = []
for changes in CHANGES:
    try:
        from backends.theano.functions import Theano
        Theano(make_job("softmax", backend="theano", **{"compiled": True, **changes}))
    except Unsupported as reason:
        reasons.append(str(reason))
print(json.dumps(reasons))
"""


@pytest.mark.framework
def test_other_devices_and_precisions_are_refused_with_the_reason(python, tmp_path):
    changes = [{"device": "cuda:0"}, {"precision": "bfloat16"}, {"mode": "native"}]
    gpu, precision, mode = ask(REFUSES.replace("CHANGES", str(changes)), python, tmp_path)
    assert "Theano reports no cuda device" in gpu
    assert "libgpuarray" in gpu
    assert precision == "Theano has no bfloat16"
    assert mode == "this adapter trains compiled, in matched mode"


@pytest.mark.framework
@pytest.mark.parametrize("how", ["flag", "missing", "broken"])
def test_without_a_compiler_a_sentence_says_what_to_install(how, python, tmp_path):
    """Without it Theano would compute in Python, many times as slowly."""
    variables = {"THEANO_FLAGS": "cxx="} if how == "flag" else {"PATH": str(tmp_path / "bin")}
    (tmp_path / "bin").mkdir()
    if how == "broken":
        compiler = tmp_path / "bin" / "g++"
        compiler.write_text(
            '#!/bin/sh\n[ "$1" = -v ] && exit 0\necho "fatal error: Python.h" >&2\nexit 1\n'
        )
        compiler.chmod(0o755)
    [reason] = ask(REFUSES.replace("CHANGES", "[{}]"), python, tmp_path, **variables)
    assert "it needs the C++ compiler g++ (Debian: apt install g++)" in reason
    assert "python3-dev" in reason


# All optimizers; ties of a pool after relu; windows that are not square, strides and padding.
SCRIPTS = (
    *("softmax", "mlp-relu-quadratic", "cnn", "convolutions"),
    *(name for name in MADE_UP if name.startswith("softmax-")),
)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory, course_environment):
    """The folder of the scripts' steps, after one process has run all of them."""
    folder = tmp_path_factory.mktemp("theano")
    write_data(folder, small_arrays())
    for case in SCRIPTS:
        place = folder / case
        place.mkdir()
        (place / "script.py").write_text(text_of("theano", CASES[case]))
        (place / "workload.json").write_bytes(msgspec.json.encode(CASES[case]))
        np.savez(place / "weights.npz", **initial_weights(CASES[case], 0))
    flags = f"floatX=float32,blas.ldflags=,base_compiledir={folder}/compiled"
    done = subprocess.run(
        [course_environment("theano"), "-m", "tests.support.scripts", "theano", "."],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(PROJECT), "THEANORC": "", "THEANO_FLAGS": flags},
        capture_output=True,
        text=True,
        timeout=2400,
        check=False,  # the end of what it says is shown
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return folder


@pytest.mark.framework
@pytest.mark.parametrize("case", SCRIPTS)
def test_a_script_takes_the_steps_of_the_reference(case, recorded):
    """From the same weights, on the same batches; then it classifies the test images as well."""
    workload = CASES[case]
    found, losses, _ = steps_and_reference("theano", workload, recorded / case)
    # As in `test_script_runs`.
    assert found["losses"] == pytest.approx(losses, abs=2e-4 if case == "convolutions" else 2e-5)
