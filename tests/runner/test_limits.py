"""Limits are measured by a real process: what is timed was done, and no failure stops a run."""

from __future__ import annotations

import msgspec
import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS, ENGINES, entry
from bench.machine.host import this_machine
from bench.machine.nvml import Gpu
from bench.records.limits import read_limits
from bench.runner.environments import Environments
from bench.runner.limits import limit_tasks, measure_limits
from bench.runner.task import Task
from bench.worker import operations
from tests.support.jobs import make_job
from tests.support.records import made_limits
from tests.support.tasks import make_task


def measure(folder, adapter=None, backend="reference"):
    """The limits of a backend's engine, or of one in `faulty`, measured by a real process."""
    chosen, found = entry(backend), Environments()
    task = Task(
        job=make_job(backend=backend),
        key="k",
        entry=chosen,
        python=str(found.require(backend)),
        versions=found.versions(chosen.environment),
        adapter=adapter or ENGINES[chosen.environment],
        adapter_checksum="",
    )
    return measure_limits(task, folder, this_machine())


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
    assert read_limits(tmp_path) == [made]
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
    chosen = entry(backend)
    task = Task(
        job=make_job(backend=backend, device="cuda:0"),
        key="k",
        entry=chosen,
        python=str(environments.require(backend)),
        versions={},
        adapter=ENGINES[chosen.environment],
        adapter_checksum="",
    )
    made = measure_limits(task, tmp_path, this_machine())
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
    assert read_limits(tmp_path) == [made]


def test_an_engine_is_measured_once_and_only_where_a_job_is_still_to_be_run(tmp_path, mnist_5k):
    machine = this_machine()
    tasks = [
        make_task("backends.reference.oracle:Reference", mnist_5k, epochs=epochs)
        for epochs in (1, 2)
    ]
    [task] = limit_tasks(tasks, tmp_path, machine, retry=False)
    assert task.adapter == ENGINES["bench"]
    other = [replace(one, job=replace(one.job, threads=2)) for one in tasks]
    assert len(limit_tasks([*tasks, *other], tmp_path, machine, retry=False)) == 2
    made = made_limits(key=task.key, status="failed")
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / f"{task.key}.json").write_bytes(msgspec.json.encode(made))
    assert limit_tasks(tasks, tmp_path, machine, retry=False) == []
    assert limit_tasks(tasks, tmp_path, machine, retry=True) == [task]
    (tmp_path / "limits" / f"{task.key}.json").write_text("{")
    assert limit_tasks(tasks, tmp_path, machine, retry=False) == [task]
    (tmp_path / "jobs").mkdir()
    for one in tasks:
        (tmp_path / "jobs" / f"{one.key}.json").write_text("{}")
    assert limit_tasks(tasks, tmp_path, machine, retry=True) == []


def test_limits_are_measured_again_on_another_kind_of_gpu(mnist_5k, tmp_path):
    gpu = Gpu(index=0, uuid="GPU-a", name="A100", memory_bytes=1, driver="550.1")
    task = make_task("tests.support.faulty:Healthy", mnist_5k, device="cuda:0")

    def key_on(kind):
        machine = replace(this_machine(), gpus=(kind,))
        [made] = limit_tasks([task], tmp_path, machine, retry=False)
        return made.key

    assert key_on(gpu) == key_on(replace(gpu, uuid="GPU-b"))
    assert key_on(gpu) != key_on(replace(gpu, driver="560.1"))
