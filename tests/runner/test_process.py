"""No process outlives the one that started it, and no output of a worker is too much."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import suppress

import msgspec
import psutil
import pytest
from msgspec.structs import replace

from bench.machine import guard
from bench.machine.temporary import TemporaryFolder, remove_abandoned
from bench.records.files import PROJECT, RunError
from tests.support.tasks import make_task, run_jobs, run_one

REFERENCE = "backends.reference.oracle:Reference"


def start_parent(adapter, data, folder, epochs=1000, python=sys.executable):
    """A process that is about to start a worker, and its mark."""
    arguments = [adapter, msgspec.json.encode(data).decode(), str(folder), str(epochs), str(python)]
    command = [sys.executable, "-m", "tests.support.parent", *arguments]
    parent = subprocess.Popen(command, cwd=PROJECT, stdout=subprocess.PIPE, text=True)
    return parent, parent.stdout.readline().strip()


def marked(mark):
    """The processes with this mark, and the guard that knows it."""
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.Error):
            is_guard = mark in process.cmdline()
            if is_guard or process.environ().get(guard.VARIABLE, "").startswith(mark):
                found.append(process.pid)
    return found


def is_within(seconds, condition):
    """Whether a condition becomes true within this time."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def kill(parent, number=signal.SIGKILL):
    parent.send_signal(number)
    parent.wait()
    parent.stdout.close()


@pytest.mark.parametrize("after", [0.0, 0.1, 0.3])
def test_a_worker_ends_with_its_parent_also_at_its_very_start(after, mnist_5k, tmp_path):
    parent, mark = start_parent(REFERENCE, mnist_5k, tmp_path)
    time.sleep(after)
    kill(parent)
    time.sleep(0.1)  # it may be just about to start
    assert is_within(1.9, lambda: len(marked(mark)) <= 1)
    assert is_within(3.0, lambda: not marked(mark))  # the guard looks around for a second


@pytest.mark.parametrize(
    ("name", "processes", "number"),
    [
        ("IsInNativeCode", 1, signal.SIGKILL),
        ("HasAHelperOfItsOwn", 2, signal.SIGABRT),
        ("HangsInAnotherPython", 2, signal.SIGKILL),
    ],
)
def test_a_worker_in_a_long_call_and_its_helpers_end_with_its_parent(
    name, processes, number, mnist_5k, tmp_path
):
    parent, mark = start_parent(f"tests.support.faulty:{name}", mnist_5k, tmp_path)
    logs = tmp_path / "jobs"
    assert is_within(30, lambda: any(log.stat().st_size for log in logs.glob("*.log")))
    assert is_within(10, lambda: len(marked(mark)) == processes + 1)  # and the guard
    kill(parent, number)
    assert is_within(2.0, lambda: len(marked(mark)) <= 1)


# Scripts for --python, as sites have them.
WRAPPERS = {
    "a module": 'export PYTHONPATH=/modules LD_LIBRARY_PATH=/modules; exec {python} "$@"',
    "a program that stays": '{python} "$@"; exit $?',
    "a container": 'exec unshare --fork --pid --mount-proc {python} "$@"',  # IDs of its own
}


@pytest.mark.parametrize("wrapper", WRAPPERS)
def test_a_worker_that_a_script_starts_ends_with_its_parent(wrapper, mnist_5k, tmp_path):
    if wrapper == "a container" and os.geteuid() != 0:
        pytest.skip("only root makes a namespace of process IDs everywhere")
    script = tmp_path / "python.sh"
    script.write_text("#!/bin/sh\n" + WRAPPERS[wrapper].format(python=sys.executable) + "\n")
    script.chmod(0o755)
    adapter = "tests.support.faulty:IsInNativeCode"
    parent, mark = start_parent(adapter, mnist_5k, tmp_path, python=script)
    logs = tmp_path / "jobs"
    assert is_within(30, lambda: any(log.stat().st_size for log in logs.glob("*.log")))
    assert len(marked(mark)) >= 2  # the worker and the guard
    kill(parent)
    assert is_within(2.0, lambda: len(marked(mark)) <= 1)


def test_linux_ends_a_worker_whose_guard_was_killed_before_its_parent(mnist_5k, tmp_path):
    parent, mark = start_parent("tests.support.faulty:IsInNativeCode", mnist_5k, tmp_path)
    logs = tmp_path / "jobs"
    assert is_within(30, lambda: any(log.stat().st_size for log in logs.glob("*.log")))
    [guards] = [pid for pid in marked(mark) if mark in psutil.Process(pid).cmdline()]
    os.kill(guards, signal.SIGKILL)
    kill(parent)
    assert is_within(2.0, lambda: not marked(mark))


def test_a_helper_in_a_session_of_its_own_ends_with_its_job(mnist_5k, tmp_path):
    record = run_one("tests.support.faulty:LeavesAHelper", mnist_5k, tmp_path)
    assert record.reason == "ValueError: the helper goes on"
    helper = int((tmp_path / "jobs" / f"{record.key}.log").read_text().split()[1])
    assert is_within(2.0, lambda: not psutil.pid_exists(helper) or is_zombie(helper))


def is_zombie(pid):
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    return True


def test_temporary_folders_of_killed_processes_are_removed_and_no_others(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = f"""
import os, signal, tempfile
tempfile.tempdir = {str(tmp_path)!r}
from bench.machine.temporary import TemporaryFolder
(TemporaryFolder().path / "file").write_text("left")
os.kill(os.getpid(), signal.SIGKILL)
"""
    subprocess.run([sys.executable, "-c", code], cwd=PROJECT, check=False)
    [left] = tmp_path.iterdir()
    assert (left / "file").read_text() == "left"
    link = left.with_name(f"{left.name}-link")
    link.symlink_to(left)
    others = {link, tmp_path / "other", tmp_path / "framework-bench-0.2.0"}
    for other in others - {link}:
        other.mkdir()
    with TemporaryFolder() as own:
        remove_abandoned.__wrapped__()  # it does this once in a process
        assert {*tmp_path.iterdir()} == {own, *others}
    assert not own.exists()


def test_a_worker_under_a_program_that_starts_python_is_no_orphan(mnist_5k, tmp_path):
    """As in some containers: the worker's parent is that program."""
    program = tmp_path / "python"
    program.write_text(f'#!/bin/sh\n{sys.executable} "$@"\nexit $?\n')
    program.chmod(0o755)
    task = replace(make_task(REFERENCE, mnist_5k), python=str(program))
    [record] = run_jobs([task], tmp_path)
    assert (record.status, record.reason) == ("ok", "")


def test_a_worker_that_cannot_be_started_leaves_no_files(mnist_5k, tmp_path):
    task = replace(make_task(REFERENCE, mnist_5k), python=str(tmp_path / "python"))
    with pytest.raises(RunError, match="cannot be started"):
        run_jobs([task], tmp_path)
    assert not [*(tmp_path / "jobs").iterdir()]


@pytest.mark.parametrize(
    ("name", "status", "reason", "epochs"),
    [
        ("EndsByARealTimeSignal", "killed", "signal 40", 1),
        ("TellsWhatIsNoLine", "failed", "1 of the worker's lines cannot be read", 3),
        ("TellsALineWithoutItsKeys", "failed", "1 of the worker's lines cannot be read", 3),
        ("TellsTooMuch", "failed", "the worker wrote more than 16 MB of lines", 1),
        ("EndsOkAtOnce", "failed", "0 epochs were told", 0),
        ("LosesItsLines", "ok", "", 3),
        ("LosesItsFolder", "ok", "", 3),
    ],
)
def test_a_worker_whose_lines_are_not_what_they_should_be_has_a_record(
    name, status, reason, epochs, mnist_5k, tmp_path
):
    record = run_one(f"tests.support.faulty:{name}", mnist_5k, tmp_path)
    assert (record.status, len(record.epochs)) == (status, epochs)
    assert reason in record.reason


def test_a_log_has_a_limit_and_its_end_is_in_the_record(mnist_5k, tmp_path):
    record = run_one("tests.support.faulty:PrintsMuch", mnist_5k, tmp_path)
    assert record.status == "killed"
    assert record.details.endswith("the last words")
    assert len(record.details) <= 16_000
    assert (tmp_path / "jobs" / f"{record.key}.log").stat().st_size <= 64_000_000


def test_a_job_that_was_suspended_with_its_parent_for_longer_than_the_timeout_goes_on(
    mnist_5k, tmp_path
):
    """The parent goes on first, and sees that the worker has told nothing for long."""
    adapter = "tests.support.faulty:SlowerThanALook"
    parent, mark = start_parent(adapter, mnist_5k, tmp_path, epochs=2)
    assert is_within(30, lambda: told(tmp_path).count(b'"epoch"') > 0)
    time.sleep(0.7)  # the parent has seen it, too
    [worker] = [pid for pid in marked(mark) if mark not in psutil.Process(pid).cmdline()]
    for pid in (parent.pid, worker):
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)  # the timeout
    parent.send_signal(signal.SIGCONT)
    time.sleep(0.5)
    os.kill(worker, signal.SIGCONT)
    assert parent.communicate(timeout=30)[0].strip() == "ok"


def told(folder):
    return b"".join(path.read_bytes() for path in (folder / "jobs").glob("*.jsonl"))
