"""Limits as a process, a record and a part of the report: what is timed was done, and no failure stops a run."""

from __future__ import annotations

import json

import msgspec
import numpy as np
import pytest
from msgspec.structs import replace
from test_report import make_record
from test_roofline import made_limits, reached

from backends.reference_limits import ReferenceEngine
from backends.registry import BACKENDS, ENGINES
from bench import trials
from bench.environments import Environments, entry
from bench.limiting import LONGEST_CHAIN, MOST_REPEATS
from bench.limits import limit_tasks, limits_of, measure_limits, read_limits
from bench.machine import this_machine
from bench.process import Task
from bench.record import write_record
from bench.report.document import Plot, Table, Text, to_markdown
from bench.report.frame import epochs_frame
from bench.report.limits import limit_blocks
from bench.report.page import write_report
from bench.report.summary import summarise
from bench.report.tables import groups
from bench.report.words import rate, share
from conftest import make_job
from test_ends import make_task


def measure(folder, adapter=None, backend="reference"):
    """The limits of a backend's engine, or of one of `faulty`'s, by the real process."""
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
    for name, operation in trials.OPERATIONS.items():
        own = [one for one in made.reached if one.operation == name]
        assert [one.size for one in own] == [*operation.sizes[: len(own)]]
        assert own
        assert all(one.seconds > 0 and one.repeats >= 3 and one.chain >= 1 for one in own)
        assert made.best(name).per_second == max(one.per_second for one in own)
    assert made.call_seconds > 0
    assert next(one.work for one in made.reached if one.operation == "matmul") == 2 * 128**3
    assert next(one.work for one in made.reached if one.operation == "convolution") == 2 * 32**3 * 9 * 8 * 8
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
    assert made.best("matmul").per_second > 1e12  # no core does a TFLOP per second; every GPU of ten years does


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
def test_an_engine_that_leaves_work_out_is_caught_and_none_of_that_work_is_recorded(adapter, where, tmp_path):
    made = measure(tmp_path, f"tests.faulty:{adapter}")
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
    made = measure(tmp_path, f"tests.faulty:{adapter}")
    assert made.status == status
    assert reason in made.reason
    assert read_limits(tmp_path) == [made]


@pytest.mark.parametrize("name", trials.OPERATIONS)
def test_a_right_result_is_off_by_rounding_alone_and_a_step_less_by_all(name):
    engine = ReferenceEngine(make_job())
    operation = trials.OPERATIONS[name]
    trial = operation.make(engine, operation.sizes[1])
    before = engine.put(trial.start)
    kept, x = engine.read(before), before
    for _ in range(3):
        x = trial.step(x)
    assert trial.off(kept, engine.read(x), 3) < 1e-5
    assert trial.off(kept, engine.read(x), 4) > 0.9
    assert trial.off(kept, np.full_like(kept, np.nan), 3) != 0  # not a number, which no tolerance lets pass


@pytest.mark.parametrize(("name", "size"), [("matmul", 128), ("convolution", 8), ("convolution", 16)])
def test_numbers_stay_far_from_the_ends_of_float32_over_all_steps_of_a_size(name, size):
    """Of the smallest sizes, which grow fastest, and which alone a fast device repeats so often."""
    engine = ReferenceEngine(make_job())
    trial = trials.OPERATIONS[name].make(engine, size)
    x = engine.put(trial.start[:2] if name == "convolution" else trial.start)
    for _ in range(2 + LONGEST_CHAIN * MOST_REPEATS):
        x = trial.step(x)
    assert 1e-25 < np.abs(x).max() < 1e25


def test_every_environment_has_an_engine():
    assert {backend.environment for backend in BACKENDS.values()} == set(ENGINES)


def test_an_engine_is_measured_once_and_only_where_a_job_is_still_to_be_run(tmp_path, mnist_5k):
    machine = this_machine()
    tasks = [make_task("backends.reference:Reference", mnist_5k, epochs=epochs) for epochs in (1, 2)]
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


def test_limits_speak_of_their_own_engine_device_threads_and_machine_alone():
    older, newer = made_limits(), made_limits(key="l", started="2026-01-02T00:00:00Z")
    assert limits_of(make_job(), "m", [older, newer]) == newer
    assert limits_of(make_job(), "other", [older]) is None
    assert limits_of(make_job(threads=2), "m", [older]) is None
    assert limits_of(make_job(backend="pytorch"), "m", [older]) is None
    assert limits_of(make_job(precision="tf32"), "m", [older]) is None
    assert limits_of(make_job(backend="gone"), "m", [older]) is None


def blocks_of(tmp_path, *records, limits=None):
    frame = epochs_frame(records)
    [(_, group)] = groups(summarise(frame))
    [(_, rows)] = groups(frame)
    return limit_blocks(group, rows, records, [made_limits()] if limits is None else limits, tmp_path)


def test_the_report_says_shares_and_the_finding_and_draws_the_roofline(tmp_path):
    record = make_record("a", batch_size=100, times=(1.0, 0.01, 0.01), accuracies=(0, 0, 0))
    blocks = blocks_of(tmp_path, record, limits=[made_limits(memory=((10**9, 1e13),))])
    limits, table = (block for block in blocks if isinstance(block, Table))
    assert limits.rows[0][1] == "100 GFLOP/s, 128 x 128"
    [row] = table.rows
    # 1,000 images of 31,360 FLOP in 10 ms are 3.136 GFLOP/s
    assert row[:6] == ("softmax", "reference", "1 ms", "3.14 GFLOP/s", "3.1 %", "-")
    assert row[-1] == "per-step overhead"
    text = to_markdown(blocks)
    assert "softmax: bound by per-step overhead in reference (3.1 % of the ceiling, 1 ms per step). Seen in one" in text
    [plot] = (block for block in blocks if isinstance(block, Plot))
    assert (tmp_path / f"{plot.name}.png").stat().st_size > 10_000
    assert (tmp_path / f"{plot.name}.svg").is_file()


def test_a_share_above_the_limit_is_printed_and_explained_not_clipped(tmp_path):
    record = make_record("a", batch_size=100, times=(1.0, 1e-4, 1e-4), accuracies=(0, 0, 0))
    blocks = blocks_of(tmp_path, record)
    table = [block for block in blocks if isinstance(block, Table)][1]
    assert table.rows[0][4] == "314 %"
    assert any(isinstance(b, Text) and b.text.startswith("Above 100 %: softmax reference.") for b in blocks)


def test_limits_that_failed_are_shown_with_their_reason_and_runs_without_limits_have_no_such_part(tmp_path):
    failed = made_limits(status="failed", reason="no memory", reached=(reached("matmul", 128, 1000, 1e9),))
    blocks = blocks_of(tmp_path, make_record("a"), limits=[failed])
    [table] = (block for block in blocks if isinstance(block, Table))
    assert table.rows[0][1:] == ("1 GFLOP/s, 128 x 128", *["unavailable"] * 3, "-", "failed: no memory")
    assert not any(isinstance(block, Plot) for block in blocks)
    assert blocks_of(tmp_path, make_record("a"), limits=[]) == []


def test_a_job_that_did_not_end_well_has_no_row_and_stops_no_report(tmp_path):
    for record in (make_record("a"), make_record("b", workload="mlp-relu", status="failed")):
        write_record(tmp_path / "jobs", record)
    (tmp_path / "limits").mkdir()
    (tmp_path / "limits" / "k.json").write_bytes(msgspec.json.encode(made_limits()))
    write_report(tmp_path)
    page = (tmp_path / "report.md").read_text()
    assert page.count("### How far from the limit") == 1
    assert "bound by" in page


def test_a_run_measures_its_limits_once_and_says_so(bench, tmp_path):
    command = ("run", "softmax", "--backend", "reference", "--dataset", "mnist-5k", "--threads", "1", "--epochs")
    code, _, errors = bench(*command, "1")
    assert code == 0, errors
    assert errors.count("limits of bench cpu: product ") == 1
    [path] = (tmp_path / "results" / "softmax" / "limits").iterdir()
    before = path.read_bytes()
    assert json.loads(before)["status"] == "ok"
    assert "How far from the limit" in (tmp_path / "results" / "softmax" / "report.html").read_text()
    code, _, errors = bench(*command, "2")
    assert code == 0
    assert "limits of" not in errors
    assert path.read_bytes() == before


def test_rates_and_shares_are_written_as_people_read_them():
    assert [rate(value, "B/s") for value in (None, 12.0, 48.34e9, 999.9e9, 1.5e12)] == [
        *("-", "12 B/s", "48.3 GB/s", "1 TB/s", "1.5 TB/s")
    ]
    assert [share(value) for value in (None, 0.0312, 0.104, 1.34)] == ["-", "3.1 %", "10 %", "134 %"]
