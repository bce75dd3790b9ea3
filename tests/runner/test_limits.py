"""Limits are measured by a real process: what is timed was done, and no failure stops a run."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS, ENGINES, entry
from bench.machine.host import this_machine
from bench.machine.nvml import Gpu
from bench.records.limits import read_limits
from bench.runner.environments import Environments
from bench.runner.limits import TIMEOUT_SECONDS, limit_tasks, make_record
from bench.runner.task import Task
from bench.runner.tasks import run_tasks
from bench.worker import operations
from bench.worker.assignment import MeasureLimits
from tests.support.jobs import make_job
from tests.support.records import made_limits
from tests.support.tasks import Watcher, make_task


def measure(folder, engine=None, backend="reference", device="cpu", observer=None, files=None):
    """The limits of a backend's engine, or of one in `faulty`, measured by a real process."""
    chosen, environments = entry(backend), Environments()
    job = make_job(backend=backend, device=device)
    task = Task(
        job=job,
        key="k",
        entry=chosen,
        python=str(environments.require(backend)),
        versions=environments.versions(chosen.environment),
        adapter_checksum="",
        assignment=MeasureLimits(job=job, adapter=engine or ENGINES[chosen.environment]),
    )
    [record] = run_tasks(
        [task],
        folder / "limits",
        this_machine(),
        make_record,
        timeout=TIMEOUT_SECONDS,
        observer=observer or Watcher(),
        files=files,
    )
    return record


def tasks_for(tasks, ended=(), measured=(), *, machine=None, retry=False):
    return limit_tasks(tasks, ended, measured, machine or this_machine(), retry=retry)


def check_whole(made, value_bytes):
    assert (made.status, made.reason, made.value_bytes) == ("ok", "", value_bytes)
    for name, operation in operations.OPERATIONS.items():
        own = [one for one in made.reached if one.operation == name]
        assert [one.size for one in own] == [*operation.sizes[: len(own)]]
        assert own
        assert all(one.seconds > 0 and one.repeats >= 3 and one.chain >= 1 for one in own)
        assert made.best(name).per_second == max(one.per_second for one in own)
    assert made.call_seconds > 0
    assert next(one.work for one in made.reached if one.operation == "matmul") == 2 * 128**3
    assert (
        next(one.work for one in made.reached if one.operation == "convolution")
        == 2 * 32**3 * 9 * 8 * 8
    )
    assert made.reached[-1].work == 3 * made.reached[-1].size


def test_the_references_limits_are_measured_and_read_again(tmp_path):
    made = measure(tmp_path)
    check_whole(made, 8)
    assert read_limits(tmp_path) == ([made], [])
    assert [path.name for path in (tmp_path / "limits").iterdir()] == ["k.json"]


@pytest.mark.framework
@pytest.mark.parametrize("backend", ["pytorch", "tensorflow", "jax"])
def test_every_engines_limits_are_measured_by_its_own_framework(backend, tmp_path, environments):
    made = measure(tmp_path, backend=backend)
    check_whole(made, 4)
    assert made.environment == BACKENDS[backend].environment
    assert made.settings["device"]
    assert made.settings.get("threads") in (1, None)  # JAX cannot be asked


@pytest.mark.gpu
@pytest.mark.framework
@pytest.mark.parametrize("backend", ["pytorch", "tensorflow", "jax"])
def test_every_engines_limits_on_a_gpu_are_above_a_cpus(backend, tmp_path, environments):
    if not this_machine().gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    made = measure(tmp_path, backend=backend, device="cuda:0")
    assert made.status == "ok", made.details
    # No CPU core reaches 1 TFLOP/s; every GPU of the last ten years does.
    assert made.best("matmul").per_second > 1e12


@pytest.mark.parametrize(
    ("adapter", "where"),
    [
        ("SkipsTheProduct", "matmul of size 128"),
        ("RemembersTheProduct", "matmul of size 128"),
        ("MultipliesHalf", "matmul of size 128"),
        ("SkipsTheConvolution", "convolution of size 8"),
        ("SkipsTheSum", "memory of size 32"),
        ("SkipsEverySecondSum", "memory of size 32"),
    ],
)
def test_an_engine_that_leaves_work_out_is_caught_and_none_of_that_work_is_recorded(
    adapter, where, tmp_path
):
    made = measure(tmp_path, f"tests.support.faulty:{adapter}")
    assert made.status == "failed"
    assert made.reason.startswith(f"Wrong: {where}: the result is off by ")
    assert where.split()[0] not in {one.operation for one in made.reached}


@pytest.mark.parametrize(
    ("adapter", "status", "reason"),
    [
        ("EngineRaises", "failed", "ValueError: no convolution here"),
        ("EngineIsKilled", "killed", "signal SIGKILL"),
        ("EngineCannot", "unsupported", "no cpu here"),
        ("NoSuchEngine", "failed", "AttributeError"),
    ],
)
def test_an_engine_that_fails_leaves_a_record_with_its_reason(adapter, status, reason, tmp_path):
    made = measure(tmp_path, f"tests.support.faulty:{adapter}")
    assert made.status == status
    assert reason in made.reason
    assert read_limits(tmp_path) == ([made], [])


def check_without_convolution(made):
    assert (made.status, made.reason, made.best("convolution")) == ("ok", "", None)
    assert {one.operation for one in made.reached} == {"matmul", "memory"}


def test_an_operation_that_an_engine_does_not_have_is_left_out_and_the_others_are_measured(
    tmp_path,
):
    check_without_convolution(measure(tmp_path, "tests.support.faulty:HasNoConvolution"))


@pytest.mark.framework
def test_scikit_learns_limits_are_those_of_its_matrix_product_and_memory(tmp_path, environments):
    made = measure(tmp_path, backend="scikit-learn")
    check_without_convolution(made)
    assert (made.value_bytes, made.settings["threads"]) == (4, 1)


def test_the_workers_files_may_have_a_folder_of_their_own(tmp_path):
    beside, seen = tmp_path / "files", set[str]()

    class Looks(Watcher):
        def advanced(self, task, lines):
            assert not (tmp_path / "limits").exists()
            seen.update(path.name for path in beside.iterdir())

    made = measure(
        tmp_path, engine="tests.support.faulty:NoSuchClass", observer=Looks(), files=beside
    )
    assert made.status == "failed"
    assert seen == {"k.assignment", "k.progress.jsonl", "k.log"}
    assert [path.name for path in (tmp_path / "limits").iterdir()] == ["k.json"]


def test_an_engine_is_measured_once_and_only_where_a_job_is_still_to_be_run(mnist_5k):
    tasks = [
        make_task("backends.reference.oracle:Reference", mnist_5k, epochs=epochs)
        for epochs in (1, 2)
    ]
    tasks[1] = replace(tasks[1], key="second")
    [task] = tasks_for(tasks)
    assert task.assignment.adapter == ENGINES["bench"]
    other = [replace(one, job=replace(one.job, threads=2)) for one in tasks]
    assert len(tasks_for([*tasks, *other])) == 2
    failed = made_limits(key=task.key, status="failed")
    assert tasks_for(tasks, measured=[failed]) == []
    assert tasks_for(tasks, measured=[failed], retry=True) == [task]
    assert tasks_for(tasks, measured=[made_limits(key=task.key)], retry=True) == []
    [later] = tasks_for(tasks, ended=[tasks[0].key])
    assert later.key == task.key
    assert tasks_for(tasks, ended=[one.key for one in tasks], retry=True) == []


def test_limits_are_measured_again_on_another_kind_of_gpu(mnist_5k):
    gpu = Gpu(index=0, uuid="GPU-a", name="A100", memory_bytes=1, driver="550.1")
    task = make_task("tests.support.faulty:Healthy", mnist_5k, device="cuda:0")

    def key_on(kind):
        [made] = tasks_for([task], machine=replace(this_machine(), gpus=(kind,)))
        return made.key

    assert key_on(gpu) == key_on(replace(gpu, uuid="GPU-b"))
    assert key_on(gpu) != key_on(replace(gpu, driver="560.1"))
