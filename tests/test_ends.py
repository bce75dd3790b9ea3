"""Every end of a job is a record, the others go on, and a run goes on where it stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from backends.registry import BACKENDS, Entry
from bench.environments import PROJECT, Environments
from bench.files import RunError
from bench.imported import checksum_of
from bench.machine import this_machine
from bench.plan import Contest, Options, PlanError, make_jobs
from bench.process import DataTask, Limits, files_of
from bench.record import End, Line, line_of, read_lines, read_record, write_record
from bench.runner import make_tasks, run_tasks
from bench.runs import claim, claim_run, read_run
from bench.worker import Assignment
from conftest import make_job
from specs.loading import find_suite, find_workload

LIMITS = Limits(timeout_seconds=60, train_evaluated=100)


class Watcher:
    def __init__(self):
        self.kept, self.advances = [], []

    def planned(self, tasks):
        pass

    def started(self, task):
        pass

    def advanced(self, task, epochs):
        self.advances.append(len(epochs))

    def ended(self, task, record, *, old):
        self.kept.append(old)


def make_task(adapter, data, **job):
    entry = Entry(title="a test", adapter=adapter, environment="bench", needs=())
    made = make_job(**{"epochs": 3, "batch_size": 500, **job})
    name = adapter.partition(":")[2]
    return DataTask(
        job=made,
        data=data,
        key=f"{name}.{made.seed}",
        entry=entry,
        python=sys.executable,
        versions={},
        adapter=adapter,
        adapter_checksum="",
    )


def run_one(adapter, data, folder, *, limits=LIMITS, retry=False, **job):
    task = make_task(adapter, data, **job)
    [record] = run_tasks([task], folder, this_machine(), limits, Watcher(), retry=retry)
    assert read_record(folder / "jobs" / f"{task.key}.json") == record
    return record


@pytest.mark.parametrize(
    ("adapter", "status", "reason", "epochs"),
    [
        ("backends.reference:Reference", "ok", "", 3),
        ("tests.faulty:Raises", "failed", "ValueError: the framework says no to 4000 examples", 0),
        ("tests.faulty:NoSuchClass", "failed", "AttributeError", 0),
        ("tests.nothing:Nothing", "failed", "ModuleNotFoundError: No module named 'tests.nothing'", 0),
        ("tests.faulty:CannotBuild", "unsupported", "no float32 here", 0),
        ("tests.faulty:Diverges", "diverged", "epoch 1: running loss nan", 0),
        ("tests.faulty:DivergesUnseen", "diverged", "test loss nan", 0),
        ("tests.faulty:RunsOutOfMemory", "out of memory", "MemoryError", 0),
        ("tests.faulty:IsKilled", "killed", "signal SIGKILL", 1),
        ("tests.faulty:Segfaults", "killed", "signal SIGSEGV", 1),
        ("tests.faulty:Exits", "failed", "exit code 7 and did not say why", 1),
    ],
)
def test_every_end_is_a_record_with_what_was_done_until_then(adapter, status, reason, epochs, mnist_5k, tmp_path):
    record = run_one(adapter, mnist_5k, tmp_path)
    assert record.status == status
    assert reason in record.reason
    assert [epoch.number for epoch in record.epochs] == list(range(1, epochs + 1))
    assert record.wall_seconds > 0
    left = {path.name for path in (tmp_path / "jobs").iterdir()}
    assert left == {f"{record.key}.json"} | ({f"{record.key}.log"} if status != "ok" else set())


def test_details_hold_the_traceback_or_the_last_lines_of_the_log(mnist_5k, tmp_path):
    assert "in train_epoch" in run_one("tests.faulty:Raises", mnist_5k, tmp_path).details
    assert "last words" in run_one("tests.faulty:IsKilled", mnist_5k, tmp_path).details


def test_an_input_pipeline_that_reads_too_few_examples_is_a_failure(mnist_5k, tmp_path):
    record = run_one("tests.faulty:ReadsTooFew", mnist_5k, tmp_path, mode="native")
    assert record.status == "failed"
    assert "the input pipeline read 3900 examples instead of 4000" in record.reason
    assert run_one("tests.faulty:ReadsTooFew", mnist_5k, tmp_path / "matched").status == "ok"  # none of its own there


def test_a_job_that_hangs_is_ended_with_all_its_helpers(mnist_5k, tmp_path):
    limits = replace(LIMITS, timeout_seconds=3)
    record = run_one("tests.faulty:Hangs", mnist_5k, tmp_path, limits=limits)
    assert (record.status, len(record.epochs)) == ("timeout", 1)
    assert "no sign of progress for 3 s" in record.reason
    helper = int(record.details.split()[1])
    state = Path(f"/proc/{helper}/stat")
    assert not state.exists() or state.read_text().split(")")[1].split()[0] == "Z"  # nobody here reaps it


def test_a_slow_job_is_not_a_hanging_one(mnist_5k, tmp_path):
    limits = replace(LIMITS, timeout_seconds=3)
    record = run_one("tests.faulty:Slow", mnist_5k, tmp_path, limits=limits, epochs=8)  # 4 s of sleep in all
    assert record.status == "ok"


def test_the_others_go_on_and_only_what_has_no_record_runs_again(mnist_5k, tmp_path):
    adapters = ["tests.faulty:Raises", "backends.reference:Reference", "tests.faulty:IsKilled"]
    tasks = [make_task(adapter, mnist_5k) for adapter in adapters]

    def run(*, retry):
        return run_tasks(tasks, tmp_path, this_machine(), LIMITS, watcher, retry=retry)

    watcher = Watcher()
    first = run(retry=False)
    assert [record.status for record in first] == ["failed", "ok", "killed"]
    assert watcher.kept == [False, False, False]
    watcher = Watcher()
    assert run(retry=False) == first
    assert watcher.kept == [True, True, True]
    watcher = Watcher()
    assert run(retry=True)[1] == first[1]
    assert watcher.kept == [False, True, False]


def test_progress_is_told_while_the_job_runs(mnist_5k, tmp_path):
    watcher = Watcher()
    run_tasks([make_task("tests.faulty:Slow", mnist_5k)], tmp_path, this_machine(), LIMITS, watcher, retry=False)
    assert watcher.advances[-1] >= 2


END = End(status="ok", reason="", traceback="", cpu_seconds=1.0, device_memory=None)


def test_a_line_cut_off_in_the_middle_is_left_out(tmp_path):
    path, whole = tmp_path / "lines.jsonl", line_of("a", END)
    path.write_bytes(whole + whole[:40])
    assert read_lines(path, Line, "a") == [END]
    assert read_lines(tmp_path / "nothing.jsonl", Line, "a") == []


def test_lines_of_another_start_and_what_is_no_line_are_left_out(tmp_path):
    path = tmp_path / "lines.jsonl"
    older = b'{"type":"end","status":"ok","reason":"","traceback":"","cpu_seconds":1.0,"device_memory":null}\n'
    no_line = b'{"start":"a","line":{"type":"end"}}\n'
    path.write_bytes(line_of("b", END) + older + b'\n\xff\xfe\n[1]\n{"start":"\xff"}\n' + no_line + line_of("a", END))
    assert read_lines(path, Line, "a") == [END]


def test_a_worker_that_outlived_its_parent_tells_nothing_into_the_next_ones_record(mnist_5k, tmp_path):
    """The first worker stalls before it opens its file, as on a slow file system, and goes on beside the second."""
    jobs, task = tmp_path / "jobs", make_task("tests.faulty:Slow", mnist_5k)
    files, assignment = files_of(task, jobs), jobs / "its-own.assignment"
    jobs.mkdir()
    told = Assignment(job=task.job, adapter=task.adapter, data=task.data.folder, train_evaluated=100)
    assignment.write_bytes(msgspec.json.encode(told))
    command = [sys.executable, "-m", "bench.worker", str(assignment), str(files.lines), "of an earlier start"]
    orphan, seen = subprocess.Popen(command, cwd=PROJECT), []
    try:

        class Both(Watcher):
            def advanced(self, task, epochs):
                seen.append(b"of an earlier start" in files.lines.read_bytes())

        [record] = run_tasks([task], tmp_path, this_machine(), LIMITS, Both(), retry=False)
    finally:
        orphan.kill()
        orphan.wait()
    assert any(seen)  # else nothing was tried
    assert record.status == "ok"
    assert [epoch.number for epoch in record.epochs] == [1, 2, 3]


@pytest.mark.parametrize("numbers", [(1, 2, 2, 3, 3), (1, 3), (2, 3), (1, 2), (), (1, 2, 3, 4), (0, 1, 2), (3, 2, 1)])
def test_a_record_whose_epochs_are_not_one_to_n_each_once_has_failed(numbers, mnist_5k, tmp_path):
    record = run_one("backends.reference:Reference", mnist_5k, tmp_path)
    epochs = tuple(replace(record.epochs[0], number=number) for number in numbers)
    write_record(tmp_path, replace(record, epochs=epochs))
    found = read_record(tmp_path / f"{record.key}.json")
    assert found.status == "failed"
    assert f"{len(numbers)} epochs were told" in found.reason
    assert "expected 1 to 3, each once" in found.reason


def test_a_worker_that_tells_an_epoch_twice_or_none_has_failed(mnist_5k, tmp_path):
    for name in ("TellsTwice", "TellsNothing"):
        record = run_one(f"tests.faulty:{name}", mnist_5k, tmp_path)
        assert record.status == "failed", name
        assert "epochs were told" in record.reason


def test_a_damaged_record_is_left_out_and_made_again(mnist_5k, tmp_path):
    record = run_one("backends.reference:Reference", mnist_5k, tmp_path)
    path = tmp_path / "jobs" / f"{record.key}.json"
    path.write_bytes(path.read_bytes()[:300])
    assert read_run(tmp_path) == ([], [path])
    again = run_one("backends.reference:Reference", mnist_5k, tmp_path)
    assert read_run(tmp_path) == ([again], [])


def test_a_record_of_a_newer_format_is_refused_and_kept(mnist_5k, tmp_path):
    record = run_one("backends.reference:Reference", mnist_5k, tmp_path)
    path = tmp_path / "jobs" / f"{record.key}.json"
    newer = {**json.loads(path.read_text()), "format": 99, "something": "new"}
    path.write_text(json.dumps(newer))
    with pytest.raises(RunError, match="format 99"):
        run_one("backends.reference:Reference", mnist_5k, tmp_path)
    assert json.loads(path.read_text()) == newer


def test_a_record_that_cannot_be_written_is_an_error_with_the_folder(mnist_5k, tmp_path):
    record = run_one("backends.reference:Reference", mnist_5k, tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"cannot be written"):
        write_record(tmp_path / "file", record)


def test_the_key_changes_with_whatever_decides_the_measurement_and_with_nothing_else(mnist_5k):
    machine = this_machine()

    def key(data=mnist_5k, machine=machine, **changes):
        [task] = make_tasks([(make_job(**changes), data)], Environments(), machine, LIMITS)
        return task.key

    base = key()
    assert key() == base
    others = [
        key(seed=1),
        key(epochs=2),
        key(batch_size=64),
        key(threads=2),
        key(round=1),
        key(deterministic=True),
        key(workload="mlp-relu"),
        key(data=replace(mnist_5k, checksum="0" * 64)),
        key(machine=replace(machine, name="another")),
    ]
    assert len({base, *others}) == len(others) + 1


def test_a_worker_sees_the_threads_and_no_gpu_and_our_affinity_is_put_back(mnist_5k, tmp_path):
    allowed = os.sched_getaffinity(0)
    values = "len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'], repr(os.environ['CUDA_VISIBLE_DEVICES'])"
    code = f"import os; print({values})"
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    (tmp_path / "python").chmod(0o755)
    task = replace(make_task("backends.reference:Reference", mnist_5k), python=str(tmp_path / "python"))
    [record] = run_tasks([task], tmp_path, this_machine(), LIMITS, Watcher(), retry=False)
    assert record.details == "1 1 ''"
    assert os.sched_getaffinity(0) == allowed


def test_a_run_that_another_process_is_writing_is_refused_and_free_again_after_it(tmp_path):
    with claim_run(tmp_path / "r", "here"):
        with pytest.raises(RunError, match="another `bench` on this machine"), claim_run(tmp_path / "r", "here"):
            pass
        with claim_run(tmp_path / "r", "another machine"):
            pass
    with claim_run(tmp_path / "r", "here"):
        pass


def test_a_proof_that_another_process_is_making_is_refused(bench, tmp_path):
    with claim(tmp_path / "results" / "proofs", this_machine().name):
        code, _, errors = bench("prove", "--backend", "reference")
    assert code == 2
    assert "another `bench` on this machine is writing to it" in errors


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (("run", "softmax"), "the same command goes on where it stopped"),
        (("calibrate",), "the same command goes on where it stopped"),
        (("prove",), "what had ended is kept"),
    ],
)
def test_who_interrupts_is_told_what_is_kept(command, kept, bench, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    for module in ("commands", "calibrate", "prove"):
        monkeypatch.setattr(f"bench.{module}.this_machine", interrupted)
    code, _, errors = bench(*command)
    assert code == 130
    assert f"interrupted; {kept}" in errors


def start_bench(folder: Path, *arguments: str) -> subprocess.Popen:
    variables = {**os.environ, "FRAMEWORK_BENCH_CACHE": str(folder / "cache"), "PYTHONPATH": str(PROJECT)}
    command = [sys.executable, "-m", "bench", "run", *arguments, "--results", str(folder), "--run", "r"]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As on a terminal: whoever runs the tests in the background may have told us to ignore Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_its_worker_says_so_and_goes_on_when_run_again(number, tmp_path):
    what = ["softmax", "--backend", "reference", "--dataset", "mnist-5k", "--seeds", "0,1", "--epochs", "40"]
    running = start_bench(tmp_path, *what)
    jobs = tmp_path / "r" / "jobs"
    for _ in range(600):
        time.sleep(0.1)
        # the first job has ended and the second has done an epoch
        second = jobs.glob("*.s1.*.progress.jsonl")
        if list(jobs.glob("*.json")) and any(len(path.read_bytes().splitlines()) > 1 for path in second):
            break
    running.send_signal(number)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 130
    assert "interrupted; the same command goes on where it stopped" in errors
    assert "Traceback" not in errors
    assert len(read_run(tmp_path / "r")[0]) == 1
    again = start_bench(tmp_path, *what)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert errors.count("kept from before") == 1
    assert len(read_run(tmp_path / "r")[0]) == 2


def test_jobs_of_one_cell_stand_together_and_their_order_turns(mnist_5k):
    options = Options(backends=("pytorch", "reference"), devices=("cpu",), threads=1, rounds=3)
    contests = [Contest(workload=find_workload(name), data=mnist_5k, epochs=1) for name in ("softmax", "cnn")]
    jobs = [job for job, _ in make_jobs(contests, options, find_suite("smoke"))]
    assert [job.backend[0] for job in jobs] == [*"prpr", *"rprp", *"prpr"]
    assert [job.workload.name for job in jobs] == ["softmax", "softmax", "cnn", "cnn"] * 3
    assert [job.round for job in jobs] == [0] * 4 + [1] * 4 + [2] * 4


def test_modes_stand_together_and_what_has_no_native_mode_is_left_out(mnist_5k):
    options = Options(
        backends=("pytorch", "jax"), devices=("cpu",), threads=1, modes=("matched", "native"), seeds=(0,), rounds=1
    )
    contests = [Contest(workload=find_workload("softmax"), data=mnist_5k, epochs=1)]
    jobs = [job for job, _ in make_jobs(contests, options, find_suite("smoke"))]
    assert [(job.backend, job.mode) for job in jobs] == [
        ("pytorch", "matched"),
        ("pytorch", "native"),
        ("jax", "matched"),
    ]
    with pytest.raises(PlanError, match="none of jax has a native mode"):
        make_jobs(contests, replace(options, backends=("jax",), modes=("native",)), find_suite("smoke"))


def test_a_key_covers_all_of_our_text_that_the_worker_runs(monkeypatch):
    """What keras-torch runs: its own files, the language, PyTorch's device, the grading; not another adapter's."""
    read = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.stem) or original(path))
    checksum_of("bench.worker", BACKENDS["keras-torch"].adapter)
    assert {"keras_torch", "keras_model", "keras_updates", "pytorch_device", "worker", "initial", "model"} <= set(read)
    assert not {"keras_jax", "pytorch_layers", "page"} & set(read)
