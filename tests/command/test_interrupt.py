"""After an interrupt the user reads what is kept, and the same command continues from there."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
import termios
import time
from functools import partial
from pathlib import Path

import pytest

from bench.records.files import PROJECT
from bench.records.run import read_run


@pytest.mark.parametrize(
    ("command", "kept"),
    [
        (("run", "softmax"), "the same command resumes"),
        (("calibrate",), "the same command resumes"),
        (("verify",), "finished tasks are kept"),
    ],
)
def test_who_interrupts_is_told_what_is_kept(command, kept, bench, monkeypatch):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.command.setup.this_machine", interrupted)
    code, _, errors = bench(*command)
    assert code == 130
    assert f"interrupted; {kept}" in errors


def start_bench(folder: Path, *arguments: str) -> subprocess.Popen:
    variables = {
        **os.environ,
        "FRAMEWORK_BENCH_CACHE": str(folder / "cache"),
        "PYTHONPATH": str(PROJECT),
    }
    command = [
        sys.executable,
        "-m",
        "bench",
        "run",
        *arguments,
        "--results",
        str(folder),
        "--run",
        "r",
    ]
    return subprocess.Popen(
        command,
        cwd=folder,
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As on a terminal: whoever runs the tests in the background may have told us to ignore
        # Ctrl-C.
        preexec_fn=partial(signal.signal, signal.SIGINT, signal.SIG_DFL),
    )


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_run_stops_its_worker_says_so_and_goes_on_when_run_again(number, tmp_path):
    what = [
        "softmax",
        "--backend",
        "reference",
        "--threads",
        "1",
        "--dataset",
        "mnist-5k",
        "--seeds",
        "0,1",
        "--epochs",
        "40",
    ]
    running = start_bench(tmp_path, *what)
    jobs = tmp_path / "r" / "jobs"
    for _ in range(3000):
        time.sleep(0.1)
        # the first job has ended and the second has done an epoch
        second = jobs.glob("*.s1.*.progress.jsonl")
        if list(jobs.glob("*.json")) and any(
            len(path.read_bytes().splitlines()) > 1 for path in second
        ):
            break
    running.send_signal(number)
    _, errors = running.communicate(timeout=30)
    assert running.returncode == 128 + number
    assert "interrupted; the same command resumes" in errors
    assert "Traceback" not in errors
    assert len(read_run(tmp_path / "r")[0]) == 1
    again = start_bench(tmp_path, *what)
    _, errors = again.communicate(timeout=120)
    assert again.returncode == 0, errors
    assert errors.count("(reused)") == 1
    assert len(read_run(tmp_path / "r")[0]) == 2


INTERRUPTED = """
import os, signal, sys, time, types
signal.signal(signal.SIGQUIT, signal.SIG_DFL)  # a shell's background process ignores it
signal.signal(signal.SIGHUP, signal.{hangup})
def interrupt(*_):
    try:
        {act}
        print("went on", flush=True)
    finally:
        os.kill(os.getpid(), signal.SIGTERM)  # a second one does not disturb what is being ended
        time.sleep(0.1)
        print("put away", flush=True)
sys.modules["bench.command.run"] = types.SimpleNamespace(run=interrupt)  # the real one loads much
from bench.command.cli import main
sys.exit(main(["run", "softmax"]))
"""


def interrupted(number: int, hangup: str = "SIG_DFL") -> subprocess.CompletedProcess:
    code = INTERRUPTED.format(act=f"os.kill(os.getpid(), {int(number)})", hangup=hangup)
    command = [sys.executable, "-c", code]
    return subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["SIGHUP", "SIGQUIT", "SIGUSR1", "SIGUSR2", "SIGXCPU", "SIGTERM"])
def test_every_signal_that_ends_a_process_ends_a_run_in_order(name):
    number = signal.Signals[name]
    done = interrupted(number)
    assert (done.returncode, done.stdout) == (128 + number, "put away\n")
    assert done.stderr == "\nbench: interrupted; the same command resumes\n"


def test_a_run_under_nohup_goes_on_when_its_terminal_is_closed():
    done = interrupted(signal.SIGHUP, hangup="SIG_IGN")
    assert done.stdout.startswith("went on\n")
    assert done.returncode == 128 + signal.SIGTERM


def test_a_run_whose_terminal_is_closed_ends_in_order():
    """What it writes then is an error."""
    ours, its = os.openpty()
    running = subprocess.Popen(
        [
            sys.executable,
            "-c",
            INTERRUPTED.format(act="print('ready', flush=True); time.sleep(10)", hangup="SIG_DFL"),
        ],
        cwd=PROJECT,
        stdin=its,
        stdout=its,
        stderr=its,
        start_new_session=True,
        preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY),
    )
    os.close(its)
    assert os.read(ours, 5) == b"ready"
    os.close(ours)
    assert running.wait(10) == 128 + signal.SIGHUP
