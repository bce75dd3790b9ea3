"""Spark's adapters: what they refuse, that a step is Spark's own, its processes, and a cluster."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import time
from contextlib import ExitStack
from pathlib import Path

import pytest
from msgspec.structs import replace

from backends.registry import refusal
from bench.command.cli import main
from bench.machine.host import this_machine
from bench.records.files import PROJECT
from bench.records.key import job_key
from bench.report.frame.epochs import epochs_frame
from bench.report.frame.jobs import jobs_frame
from bench.runner.jobs import make_tasks
from bench.runner.plan import Options, Training, make_jobs
from bench.runner.verification import models_of
from bench.worker.verification.models import EVERY
from specs.loading import find_suite, find_workload
from specs.model import Sgd
from tests.support.jobs import make_job
from tests.support.script_cases import FLATTEN, LAST, dense, made
from tests.support.tasks import run_jobs

SIGMOID = made("softmax-sgd", layers=[FLATTEN, dense(9, "sigmoid"), dense(7, "sigmoid"), LAST])
HEAD = """
import json, os, sys, time
import numpy as np
from msgspec.structs import replace
from backends.spark import device
from backends.spark.gradient_descent import Spark
from backends.spark.native import SparkNative, TooFewIterationsError
from backends.reference.oracle import Reference
from specs.initial import initial_weights
from tests.support.jobs import make_job
from tests.support.script_cases import FLATTEN, LAST, dense, made
SIGMOID = made("softmax-sgd", layers=[FLATTEN, dense(9, "sigmoid"), dense(7, "sigmoid"), LAST])
def examples(count, seed=0):
    random = np.random.RandomState(seed)
    images = random.random_sample((count, 28, 28, 1)).astype(np.float32)
    return images, random.randint(0, 10, count)
def ready(kind, job, data):
    backend = kind(job)
    backend.set_weights(initial_weights(job.workload, 0))
    backend.load(*data)
    return backend
def apart(ours, theirs):
    return max(float(abs(ours[name] - theirs[name]).max()) for name in theirs)
"""


def program(code, course_environment, **variables):
    """The arguments with which a program runs in Spark's environment."""
    return {
        "args": [course_environment("spark"), "-c", HEAD + code],
        "env": {**os.environ, "PYTHONPATH": str(PROJECT), **variables},
        "stdout": subprocess.PIPE,
        "stderr": subprocess.PIPE,
        "text": True,
    }


def ask(code, course_environment, **variables):
    """What a program prints as JSON in its last line."""
    done = subprocess.run(
        **program(code, course_environment, **variables), check=False, timeout=400
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("cnn", "dense layers only, and this model has conv2d, max_pool2d, dropout"),
        ("mlp-relu-quadratic", "has no quadratic cost, its loss is the cross-entropy"),
        ("mlp-tanh", "the hidden layers of Spark MLlib are sigmoid, and this model has tanh"),
        ("mlp-sigmoid", "has plain gradient descent and L-BFGS, and this workload has rmsprop"),
    ],
)
def test_a_workload_that_spark_cannot_train_is_refused_with_the_reason(name, why):
    assert why in refusal("spark", find_workload(name))


def test_momentum_is_refused_and_plain_gradient_descent_is_not():
    assert refusal("spark", SIGMOID) == ""
    spec = Sgd(learning_rate=0.1, momentum=0.9, nesterov=False)
    assert refusal("spark", replace(SIGMOID, optimizer=spec)) == (
        "the gradient descent of Spark MLlib has no momentum"
    )


def test_it_is_verified_on_the_models_that_it_can_train():
    models, behaviour = models_of("spark")
    assert models == behaviour == ("softmax, sgd", "dense sigmoid, sgd")
    assert [refusal("spark", EVERY[name]) for name in models] == ["", ""]


def test_a_cluster_is_a_device_and_part_of_the_name_of_a_record():
    local, there = (
        job_key(make_job(backend="spark", device=device))
        for device in ("cpu", "spark://node-1:7077")
    )
    assert there.startswith("softmax.spark.sparknode-17077.s0.r0.")
    assert local.rpartition(".")[2] != there.rpartition(".")[2]


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        (["--backend", "pytorch", "--spark-master", "spark://h:7077"], "works only with Spark"),
        (["--spark-master", "spark://h:7077"], "works only with Spark"),
        (["--backend", "spark", "--spark-master", "h:7077"], "a Spark master, e.g. spark://HOST"),
    ],
)
def test_a_master_that_cannot_be_used_is_refused(arguments, problem, capsys):
    try:
        code = main(["run", "softmax-sgd", "--dry-run", *arguments])
    except SystemExit as error:
        code = error.code
    assert code == 2
    assert problem in capsys.readouterr().err


STEPS = """
from pyspark.ml.classification import MultilayerPerceptronClassifier
from pyspark.ml.linalg import Vectors
from backends.spark.data import blocks_of, frame_of
from backends.spark.weights import as_vector, as_weights
found = {}
start = initial_weights(SIGMOID, 0)
# 200 are two blocks of 100. Of 128 and 72 the mean of the blocks' means would be another.
# 131 is prime: a block per example; 97 is a block.
for count in (200, 131, 97):
    job, data = make_job(SIGMOID, threads=2, backend="spark", batch_size=count), examples(count)
    ours = ready(Spark, job, data)
    reference = ready(Reference, make_job(SIGMOID, batch_size=count), data)
    order = np.random.RandomState(1).permutation(count)
    losses = [[each.train_epoch(order) for _ in range(3)] for each in (ours, reference)]
    found[f"loss {count}"] = float(abs(np.subtract(*losses)).max())
    found[f"weights {count}"] = apart(ours.get_weights(), reference.get_weights())
session = ours._session
frame = frame_of(session, *examples(200)).coalesce(1).localCheckpoint()
def fitted(size):
    model = MultilayerPerceptronClassifier(
        layers=[784, 9, 7, 10], maxIter=3, tol=0.0, stepSize=SIGMOID.optimizer.learning_rate,
        solver="gd", blockSize=size, initialWeights=Vectors.dense(as_vector(start)),
    ).fit(frame)
    return as_weights(SIGMOID, model.weights.toArray())
job = make_job(SIGMOID, threads=2, backend="spark", batch_size=200)
ours = ready(Spark, job, examples(200))
for _ in range(3):
    ours.train_epoch(np.arange(200))
found["fit"], found["fit, 128"] = (apart(ours.get_weights(), fitted(size)) for size in (100, 128))
ours.reset(start)
first = ours.train_epoch(np.arange(200))
ours.reset(start)
found["reset"] = abs(first - ours.train_epoch(np.arange(200)))
many = make_job(SIGMOID, threads=2, backend="spark", batch_size=8, epochs=50)
try:
    ready(Spark, many, examples(200))
except Exception as error:
    found["many"] = f"{type(error).__name__}: {error}"
found["settings"], found["processes"] = dict(ours.settings()), ours.processes()
found["java"] = open(f"/proc/{ours.processes()[0]}/comm").read().strip()
# Native mode.
job = replace(job, mode="native", epochs=4)
ours = SparkNative(job)
ours.load(*examples(200))
found["per call"], loss = ours.epochs_per_call, ours.train_epoch(np.arange(0))
guide = MultilayerPerceptronClassifier(layers=[784, 9, 7, 10], maxIter=4, tol=0.0, seed=0)
model = guide.fit(ours._frame)
found["native"] = apart(ours.get_weights(), as_weights(SIGMOID, model.weights.toArray()))
found["native loss"] = loss - model.summary().objectiveHistory[-1]
found["read"] = ours.read_inputs()
long = SparkNative(make_job("softmax-sgd", threads=2, backend="spark", mode="native", epochs=400))
long.load(*examples(20))
try:
    long.train_epoch(np.arange(0))
except TooFewIterationsError as error:
    found["too few"] = str(error)
print(json.dumps(found))
"""


@pytest.mark.framework
def test_steps_and_fits_are_those_of_the_reference_and_of_spark(course_environment):
    found = ask(STEPS, course_environment)
    print(found)
    for count in (200, 131, 97):
        # float64 sums in another order, and weights rounded to float32
        assert found[f"loss {count}"] < 1e-12
        assert found[f"weights {count}"] <= 6e-8
    assert found["fit"] <= 6e-8
    assert found["fit, 128"] > 1e-6
    assert found["reset"] == 0
    assert found["many"].startswith("Unsupported: each step is a job of Spark")
    assert "this training has 1,250: use --batch-size 200" in found["many"]
    settings = found["settings"]
    assert (settings["threads"], settings["java_processors"], settings["dtype"]) == (
        2,
        2,
        "float64",
    )
    assert (settings["device"], settings["master"]) == ("cpu", "local[2]")
    assert (len(found["processes"]), found["java"]) == (1, "java")
    assert (found["per call"], found["native"], found["native loss"], found["read"]) == (
        4,
        0,
        0,
        200,
    )
    assert "could not lower the loss any more: use --epochs" in found["too few"]


ONE_THREAD = """
settings = Spark(make_job(SIGMOID, threads=1, backend="spark")).settings()
print(json.dumps([settings["threads"], settings["java_processors"]]))
"""


@pytest.mark.framework
def test_java_has_the_threads_of_the_job_and_temporary_folders_are_removed(
    course_environment, tmp_path
):
    places = {"SPARK_LOCAL_DIRS": str(tmp_path), "TMPDIR": str(tmp_path)}
    assert ask(ONE_THREAD, course_environment, **places) == [1, 1]
    assert list(tmp_path.iterdir()) == []


MEMORY = """
device._heap_bytes = lambda job: 480 * 2**20  # the least that Spark accepts
try:
    ready(Spark, make_job("softmax-sgd", backend="spark", batch_size=80000), examples(80000))
except MemoryError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.framework
def test_a_lack_of_memory_in_java_is_an_error_of_memory_with_a_sentence(course_environment):
    text = ask(MEMORY, course_environment)
    assert text.startswith("a Java process of Spark ran out of memory; the driver had 480m")


NO_JAVA = """
try:
    Spark(make_job(SIGMOID, backend="spark"))
except device.JavaError as error:
    print(json.dumps(str(error)))
"""


@pytest.mark.framework
@pytest.mark.parametrize("has_old_java", [False, True])
def test_without_java_or_with_an_old_one_the_error_says_what_to_install(
    has_old_java, course_environment, tmp_path
):
    for name in ("bash", "dirname", "cat", "tr", "env", "sh", "ps", "uname", "readlink"):
        if path := next((p for p in (Path("/bin", name), Path("/usr/bin", name)) if p.exists()), 0):
            (tmp_path / name).symlink_to(path)
    if has_old_java:
        (tmp_path / "java").write_text("#!/bin/sh\necho UnsupportedClassVersionError >&2\nexit 1\n")
        (tmp_path / "java").chmod(0o755)
    text = ask(NO_JAVA, course_environment, PATH=str(tmp_path), JAVA_HOME="")
    assert text.startswith("Spark needs Java 17 or newer: install it (Debian: apt install")


SLEEP = """
backend = Spark(make_job(SIGMOID, backend="spark"))
print(backend.processes()[0], flush=True)
time.sleep(300)
"""


@pytest.mark.framework
def test_java_ends_when_the_worker_is_killed_and_is_in_its_group(course_environment):
    with subprocess.Popen(**program(SLEEP, course_environment), start_new_session=True) as worker:
        java = int(worker.stdout.readline())
        try:
            assert os.getpgid(java) == worker.pid  # so the parent kills it with the worker
        finally:
            os.kill(worker.pid, signal.SIGKILL)
        until = time.monotonic() + 60
        while Path(f"/proc/{java}/cmdline").exists() and time.monotonic() < until:
            time.sleep(0.2)
        assert not Path(f"/proc/{java}/cmdline").exists()


def trained(environments, data, tmp_path, *, device="cpu", mode="matched", epochs=2, threads=1):
    """The record of a job of the real worker on a batch of all images."""
    options = Options(
        backends=("spark",), devices=(device,), threads=threads, seeds=(0,), modes=(mode,)
    )
    training = Training(
        workload=find_workload("softmax-sgd"),
        data=data,
        epochs=epochs,
        batch_size=data.train_examples,
    )
    jobs = make_jobs([training], options, find_suite("smoke"))
    [record] = run_jobs(make_tasks(jobs, environments, this_machine(), 1000), tmp_path, timeout=400)
    assert record.status == "ok", record.details
    return record


@pytest.mark.framework
def test_a_native_job_has_one_epoch_that_stands_for_all_and_figures_have_its_share(
    course_environment, environments, mnist_5k, tmp_path
):
    course_environment("spark")
    record = trained(environments, mnist_5k, tmp_path, mode="native", epochs=8)
    [epoch] = record.epochs
    assert (epoch.number, epoch.epochs) == (8, 8)
    assert epoch.test_accuracy > 0.8
    [job] = jobs_frame(epochs_frame([record])).to_dict("records")
    assert job["epoch_seconds"] == epoch.training.wall_seconds / 8
    assert job["epoch_cpu_seconds"] == epoch.training.cpu_seconds / 8
    assert job["test_accuracy"] == epoch.test_accuracy
    assert job["startup_seconds"] > 0
    incomplete = replace(record, epochs=(replace(epoch, number=7, epochs=7),))
    assert incomplete.checked().status == "failed"


def free_port():
    with socket.socket() as chosen:
        chosen.bind(("127.0.0.1", 0))
        return chosen.getsockname()[1]


@pytest.fixture
def cluster(course_environment, tmp_path):
    """The address of a master with two workers of one core each, on this machine."""
    python = course_environment("spark")
    home = next(python.parents[1].glob("lib/python*/site-packages/pyspark"))
    variables = {
        **os.environ,
        "SPARK_HOME": str(home),
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_LOCAL_DIRS": str(tmp_path),
        "SPARK_DAEMON_MEMORY": "512m",
    }
    port = free_port()
    address, deploy = f"spark://127.0.0.1:{port}", "org.apache.spark.deploy"
    common = ["--host", "127.0.0.1", "--webui-port", "0"]
    worker = [f"{deploy}.worker.Worker", *common, "--cores", "1", "--memory", "1g"]
    log = tmp_path / "cluster.log"
    with ExitStack() as stack, log.open("wb") as output:

        def start(*arguments):
            process = subprocess.Popen(
                [home / "bin" / "spark-class", *arguments],
                env=variables,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
            stack.callback(process.wait)
            stack.callback(os.killpg, process.pid, signal.SIGKILL)

        start(f"{deploy}.master.Master", *common, "--port", str(port))
        for number in range(2):
            start(*worker, "--work-dir", str(tmp_path / f"worker{number}"), address)
        until = time.monotonic() + 240
        while log.read_text(errors="replace").count("Registering worker") < 2:
            assert time.monotonic() < until, log.read_text(errors="replace")[-3000:]
            time.sleep(0.5)
        yield address


@pytest.mark.framework
def test_a_standing_cluster_trains_as_the_reference_and_its_cpu_time_is_unknown(
    cluster, environments, mnist_5k, tmp_path
):
    record = trained(environments, mnist_5k, tmp_path, device=cluster, epochs=1)
    settings = record.startup.settings
    print(settings, record.verification)
    assert record.verification.passed, record.verification
    assert settings["device"] == cluster
    assert settings["threads"] == 2  # one of each worker
    assert [epoch.training.cpu_seconds for epoch in record.epochs] == [None]
    assert [epoch.training.peak_rss_bytes for epoch in record.epochs] == [None]
    assert record.cpu_seconds is None
    assert all(epoch.training.wall_seconds > 0 for epoch in record.epochs)
    native = trained(environments, mnist_5k, tmp_path, device=cluster, mode="native", epochs=5)
    assert native.epochs[0].test_accuracy > 0.8


@pytest.mark.framework
@pytest.mark.parametrize("workload", [find_workload("softmax-sgd"), SIGMOID])
def test_a_script_runs_and_learns(workload, tmp_path, course_environment):
    from backends.registry import script as text_of
    from tests.backends.test_script_runs import small_arrays, write_data

    write_data(tmp_path, small_arrays())
    recipe = replace(workload.recipe, epochs=60)
    (tmp_path / "script.py").write_text(text_of("spark", replace(workload, recipe=recipe)))
    done = subprocess.run(
        [course_environment("spark"), "script.py"],
        cwd=tmp_path,
        env={**os.environ, "SPARK_LOCAL_IP": "127.0.0.1"},
        capture_output=True,
        text=True,
        timeout=400,
        check=False,  # the end of what it says is shown
    )
    assert done.returncode == 0, done.stderr[-3000:]
    # 520 images are enough for three of four with softmax; by chance one of ten is right.
    assert float(done.stdout.split()[-1]) > (0.7 if len(workload.layers) == 2 else 0.3)
