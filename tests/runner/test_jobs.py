"""Every end of a job is a record, the other jobs run on, and a run resumes where it stopped."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from bench.report.section.opening import notes
from bench.runner.task import files_of
from bench.statistics.judgement import judgements
from bench.worker import start
from tests.support.records import run_of
from tests.support.tasks import Watcher, make_task, run_jobs, run_one


@pytest.mark.parametrize(
    ("adapter", "status", "reason", "epochs"),
    [
        ("backends.reference.oracle:Reference", "ok", "", 3),
        (
            "tests.support.faulty:Raises",
            "failed",
            "ValueError: the framework says no to 4000 examples",
            0,
        ),
        ("tests.support.faulty:NoSuchClass", "failed", "AttributeError", 0),
        (
            "tests.nothing:Nothing",
            "failed",
            "ModuleNotFoundError: No module named 'tests.nothing'",
            0,
        ),
        ("tests.support.faulty:CannotBuild", "unsupported", "no float32 here", 0),
        ("tests.support.faulty:Diverges", "diverged", "epoch 1: running loss nan", 0),
        ("tests.support.faulty:DivergesUnseen", "diverged", "test loss nan", 0),
        ("tests.support.faulty:RunsOutOfMemory", "out of memory", "MemoryError", 0),
        ("tests.support.faulty:IsKilled", "killed", "signal SIGKILL", 1),
        ("tests.support.faulty:Segfaults", "killed", "signal SIGSEGV", 1),
        ("tests.support.faulty:Exits", "failed", "exit code 7 and did not say why", 1),
    ],
)
def test_every_end_is_a_record_with_what_was_done_until_then(
    adapter, status, reason, epochs, mnist_5k, tmp_path
):
    record = run_one(adapter, mnist_5k, tmp_path)
    assert record.status == status
    assert reason in record.reason
    assert [epoch.number for epoch in record.epochs] == list(range(1, epochs + 1))
    assert record.wall_seconds > 0
    left = {path.name for path in (tmp_path / "jobs").iterdir()}
    assert left == {f"{record.key}.json"} | ({f"{record.key}.log"} if status != "ok" else set())


def test_a_job_verifies_itself_after_its_last_epoch(mnist_5k, tmp_path):
    right = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path / "right")
    assert right.verification.passed
    assert {"loss", "1.kernel", "1.bias", "prediction"} == set(right.verification.deviations)
    assert right.weights_checksum
    wrong = run_one("tests.support.faulty:TrainsTooSlowly", mnist_5k, tmp_path / "wrong")
    assert wrong.status == "ok"
    assert judgements([right])[right.key].doubt == ""
    assert judgements([wrong])[wrong.key].doubt == "wrong"
    # The prediction is that of its own weights.
    assert wrong.verification.deviations["prediction"] < 0.5


def test_a_job_that_cannot_be_verified_is_kept_and_says_so(mnist_5k, tmp_path):
    record = run_one("tests.support.faulty:CannotReset", mnist_5k, tmp_path)
    assert (record.status, len(record.epochs)) == ("ok", 3)
    assert record.verification.not_verified == "RuntimeError: no way back"
    assert not record.verification.passed
    [line] = [line for line in notes(run_of(record)) if "not verified" in line]
    assert line.endswith("RuntimeError: no way back")


def test_details_hold_the_traceback_or_the_last_lines_of_the_log(mnist_5k, tmp_path):
    assert "in train_epoch" in run_one("tests.support.faulty:Raises", mnist_5k, tmp_path).details
    assert "last words" in run_one("tests.support.faulty:IsKilled", mnist_5k, tmp_path).details


def test_an_input_pipeline_that_reads_too_few_examples_is_a_failure(mnist_5k, tmp_path):
    record = run_one("tests.support.faulty:ReadsTooFew", mnist_5k, tmp_path, mode="native")
    assert record.status == "failed"
    assert "the input pipeline read 3900 examples instead of 4000" in record.reason
    # In matched mode there is no pipeline of its own.
    assert (
        run_one("tests.support.faulty:ReadsTooFew", mnist_5k, tmp_path / "matched").status == "ok"
    )


def test_a_job_that_hangs_is_ended_with_all_its_helpers(mnist_5k, tmp_path):
    record = run_one("tests.support.faulty:Hangs", mnist_5k, tmp_path, timeout=3)
    assert (record.status, len(record.epochs)) == ("timeout", 1)
    assert "no sign of progress for 3 s" in record.reason
    helper = int(record.details.split()[1])
    deadline = time.monotonic() + 10  # a killed process may end a little later on a busy machine
    while is_running(helper) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not is_running(helper)


def is_running(pid):
    """Whether there is such a process, and it is no zombie: nobody here reaps it."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state.split(")")[1].split()[0] != "Z"


def test_a_slow_job_is_not_a_hanging_one(mnist_5k, tmp_path):
    # It sleeps for 4 s in all.
    record = run_one("tests.support.faulty:Slow", mnist_5k, tmp_path, timeout=3, epochs=8)
    assert record.status == "ok"


def test_the_others_go_on_and_only_what_has_no_record_runs_again(mnist_5k, tmp_path):
    adapters = [
        "tests.support.faulty:Raises",
        "backends.reference.oracle:Reference",
        "tests.support.faulty:IsKilled",
    ]
    tasks = [make_task(adapter, mnist_5k) for adapter in adapters]
    first, watcher = run_jobs(tasks, tmp_path), Watcher()
    assert [record.status for record in first] == ["failed", "ok", "killed"]
    assert run_jobs(tasks, tmp_path, known=first, observer=watcher) == first
    assert watcher.reused == [True, True, True]
    watcher = Watcher()
    assert run_jobs(tasks, tmp_path, known=first, retry=True, observer=watcher)[1] == first[1]
    assert watcher.reused == [False, True, False]


def test_progress_is_told_while_the_job_runs(mnist_5k, tmp_path):
    watcher = Watcher()
    run_jobs([make_task("tests.support.faulty:Slow", mnist_5k)], tmp_path, observer=watcher)
    assert watcher.advances[-1] >= 2


def test_a_worker_that_outlived_its_parent_tells_nothing_into_the_next_ones_record(
    mnist_5k, tmp_path
):
    """The first worker stalls before it opens its file, as on a slow file system.

    It resumes while the second worker runs.
    """
    folder, task = tmp_path / "jobs", make_task("tests.support.faulty:Slow", mnist_5k)
    files, assignment = files_of(task, folder), folder / "its-own.assignment"
    folder.mkdir()
    assignment.write_bytes(msgspec.json.encode(task.assignment))
    command = [
        sys.executable,
        start.__file__,
        str(assignment),
        str(files.lines),
        "of an earlier start",
        str(os.getpid()),
    ]
    orphan, seen = subprocess.Popen(command), []
    try:

        class Both(Watcher):
            def advanced(self, task, lines):
                seen.append(b"of an earlier start" in files.lines.read_bytes())

        [record] = run_jobs([task], tmp_path, observer=Both())
    finally:
        orphan.kill()
        orphan.wait()
    assert any(seen)  # else nothing was tried
    assert record.status == "ok"
    assert [epoch.number for epoch in record.epochs] == [1, 2, 3]


def test_a_worker_that_tells_an_epoch_twice_or_none_has_failed(mnist_5k, tmp_path):
    for name in ("TellsTwice", "TellsNothing"):
        record = run_one(f"tests.support.faulty:{name}", mnist_5k, tmp_path)
        assert record.status == "failed", name
        assert "epochs were told" in record.reason


def test_a_worker_sees_the_threads_and_no_gpu_and_our_affinity_is_put_back(mnist_5k, tmp_path):
    allowed = os.sched_getaffinity(0)
    values = (
        "len(os.sched_getaffinity(0)), os.environ['OMP_NUM_THREADS'],"
        " repr(os.environ['CUDA_VISIBLE_DEVICES'])"
    )
    code = f"import os; print({values})"
    (tmp_path / "python").write_text(f'#!/bin/sh\nexec {sys.executable} -c "{code}"\n')
    (tmp_path / "python").chmod(0o755)
    task = replace(
        make_task("backends.reference.oracle:Reference", mnist_5k), python=str(tmp_path / "python")
    )
    [record] = run_jobs([task], tmp_path)
    assert record.details == "1 1 ''"
    assert os.sched_getaffinity(0) == allowed
