"""Ends the processes that a `bench` has started, by a mark in their environment.

As a program, `PYTHON guard.py MARK`, it waits until the `bench` that started it has ended, however
that ended, and then kills every process with that `bench`'s mark. Only another process can do this
after `kill -9`. While it waits it uses no CPU.

A process is not found if it has another environment, if it runs as another user, or in a container
that this one cannot see into.
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

# The environment variable of a worker, which its helpers inherit: the mark of a `bench`, a point,
# and the mark of the worker.
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
    """Start the process that ends the marked ones."""
    guard = subprocess.Popen(
        [sys.executable, "-P", __file__, MARK],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=Path(sys.executable).anchor,
        start_new_session=True,  # what is sent to all processes of a terminal is not for it
    )
    atexit.register(_end, guard)


def _end(guard: subprocess.Popen[bytes]) -> None:
    """Tell the guard that this process ends in order."""
    with suppress(subprocess.TimeoutExpired, OSError):
        guard.communicate(b"the end\n", _EXIT_SECONDS)


def kill_group(process: subprocess.Popen[bytes]) -> None:
    """Kill a process that leads a group of its own, and all others of the group."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError, PermissionError):  # macOS: it has only zombies
            os.killpg(process.pid, signal.SIGKILL)
    else:
        process.kill()


def end_marked(mark: str) -> None:
    """Kill all processes whose mark begins with `mark`, and those that they start meanwhile.

    One that waits for a disk or a GPU ends later; this function returns after a second.
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
    if sys.stdin.buffer.read(1):  # it ended in order
        end_marked(mark)
        return
    until = time.monotonic() + _SECONDS
    while time.monotonic() < until:
        end_marked(mark)
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    _wait_and_end(sys.argv[1])
