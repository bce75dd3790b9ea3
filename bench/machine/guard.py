"""Kills the processes that a `bench` has started; a mark in their environment identifies them.

As a program, `PYTHON guard.py MARK`, it waits until the `bench` that started it has ended for any
reason. Then it kills every process with the mark of that `bench`. After `kill -9` of the `bench`,
only another process can do this. It uses no CPU while it waits.

A process is not found if it has another environment, if it runs as another user, or in a container
that the guard cannot see into.
"""

from __future__ import annotations

import atexit
import os
import signal
import subprocess
import sys
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

# The environment variable of a worker, which its helpers inherit. Its value is the mark of the
# `bench`, a dot, and the mark of the worker.
VARIABLE = "FRAMEWORK_BENCH_WORKER"
MARK = uuid.uuid4().hex  # of this process
# A process that was just being started gets its environment a moment later.
_SECONDS, _PAUSE_SECONDS = 1.0, 0.02
_EXIT_SECONDS = 10.0  # the guard needs less than 0.1 s


def mark_of(worker: str) -> str:
    """The value of `VARIABLE` for a process that has to end with this one; starts the guard.

    Raises:
        OSError: the guard cannot be started.
    """
    _start()
    return f"{MARK}.{worker}"


@cache
def _start() -> None:
    """Start the guard, which kills the marked processes."""
    guard = subprocess.Popen(
        [sys.executable, "-P", __file__, MARK],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(sys.executable).anchor,
        start_new_session=True,  # signals to all processes of a terminal do not reach it
    )
    atexit.register(_end, guard)


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Tell the guard that this process ends normally."""
    with suppress(subprocess.TimeoutExpired, OSError):
        guard.communicate(b"the end\n", _EXIT_SECONDS)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads its own group, and all other processes of the group."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # macOS: the group has only zombies
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def end_marked(mark: str) -> None:
    """Kill all processes whose mark begins with `mark`, and those that they start meanwhile.

    A process that waits for a disk or a GPU ends later; this function returns after a second.
    """
    until = time.monotonic() + _SECONDS
    while _kill_marked(mark) and time.monotonic() < until:
        time.sleep(_PAUSE_SECONDS)


def _kill_marked(mark: str) -> int:
    """Kill all processes with a mark; returns how many there were."""
    import psutil  # here, so that `bench --help` stays fast, and this program starts fast

    killed = 0
    for process in psutil.process_iter():
        try:
            if process.environ().get(VARIABLE, "").startswith(mark) and process.pid != os.getpid():
                process.kill()
                killed += 1
        except (psutil.Error, OSError):  # it has ended, or is not ours
            continue
    return killed


def _wait_and_end(mark: str) -> None:
    for number in signal.valid_signals():  # a scheduler may send one to all processes of its job
        with suppress(OSError, ValueError):  # SIGKILL and SIGSTOP
            signal.signal(number, signal.SIG_IGN)
    if sys.stdin.buffer.read(1):  # the `bench` ended normally
        end_marked(mark)
        return
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        end_marked(mark)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    _wait_and_end(sys.argv[1])
