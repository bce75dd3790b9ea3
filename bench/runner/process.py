"""Runs one worker process: sets its variables, CPUs and GPU, and kills its process group.

A worker (`bench.worker.start`) reads an assignment and writes lines; the last one is an `End`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import IO

import msgspec

from bench.machine import device
from bench.machine.host import Machine, allowed_cpus, gpu_of
from bench.machine.watch import Watch
from bench.records.files import RunError, write_atomically
from bench.runner.environments import inherited_variables
from bench.runner.task import Files, Task, WorkerResult, files_of
from bench.worker import start
from bench.worker.clock import monotonic_seconds, pause, utc
from bench.worker.lines import End, Line, MarkedLine, Status

# The parent checks the worker at this interval. A check takes about 0.2 ms, far less than 1 % of a
# core.
_CHECK_SECONDS = 0.5
_FIRST_CHECK_SECONDS = 0.05  # so that a very short job need not wait for 0.5 s
_EXIT_SECONDS = 10.0  # the time that a worker has to exit after its `End`
_LOG_TAIL_LINES = 20
# Libraries with threads of their own take the number of threads from one of these.
_THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
)


def run_worker(
    task: Task,
    folder: Path,
    machine: Machine,
    timeout: float,
    on_lines: Callable[[list[Line]], None],
) -> WorkerResult:
    """Run the worker of a task until it ends.

    Args:
        task: the task.
        folder: the folder of the worker's files, see `files_of`; lines and log are kept.
        machine: this machine.
        timeout: a worker without a new line for so many seconds is killed.
        on_lines: is called with all lines so far if there are new ones.

    Raises:
        RunError: a file cannot be written, or the interpreter cannot be started.
    """
    mark, files = uuid.uuid4().hex, files_of(task, folder)
    started, start_seconds = utc(), monotonic_seconds()
    write_atomically(files.assignment, msgspec.json.encode(task.assignment))
    write_atomically(files.lines, b"")
    gpu = gpu_of(machine, task.job.device)
    # Created before the worker starts, so that it knows the memory that is already in use.
    gpu_watch = device.DeviceWatch(gpu.uuid) if gpu else None
    watch = Watch(allowed_cpus()[: task.job.threads], gpu.uuid if gpu else None)

    def read_new_lines() -> bool:
        lines = read_lines(files.lines, mark)
        on_lines(lines)
        return _end_of(lines) is not None

    with files.log.open("wb") as output:
        worker = _start(task, files, mark, machine, output)
        try:
            sample = partial(_sample, watch, gpu_watch, worker.pid)
            timed_out = _wait(worker, sample, files.lines, timeout, read_new_lines)
        finally:
            _kill(worker)
            files.assignment.unlink(missing_ok=True)
    lines = read_lines(files.lines, mark)
    timed_out_after = timeout if timed_out else None
    return WorkerResult(
        lines=lines,
        end=_end_of(lines) or _missing_end(worker.returncode, timed_out_after, files.log),
        started=started,
        wall_seconds=monotonic_seconds() - start_seconds,
        peak=gpu_watch.peak if gpu_watch else None,
        disturbance=watch.end(),
    )


def _sample(watch: Watch, gpu_watch: device.DeviceWatch | None, pid: int) -> None:
    watch.sample()
    if gpu_watch is not None:
        gpu_watch.sample(pid)


def _end_of(lines: Sequence[Line]) -> End | None:
    return next((line for line in lines if isinstance(line, End)), None)


def _missing_end(code: int, timed_out_after: float | None, log: Path) -> End:
    """The end of a worker that wrote none, with the last lines of its log."""
    status: Status
    if timed_out_after is not None:
        status, reason = "timeout", f"no sign of progress for {timed_out_after:g} s"
    elif code < 0:
        name = signal.Signals(-code).name
        status, reason = "killed", f"signal {name}"
        if -code == signal.SIGKILL:
            reason += ": by a person, a scheduler, or the kernel for lack of memory"
    else:
        status, reason = "failed", f"the worker stopped with exit code {code} and did not say why"
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return End(status=status, reason=reason, traceback="\n".join(tail), cpu_seconds=None)


def _start(
    task: Task, files: Files, mark: str, machine: Machine, output: IO[bytes]
) -> subprocess.Popen[bytes]:
    """Start a worker in its own process group, on the first `threads` of the allowed CPUs."""
    command = [task.python, start.__file__, str(files.assignment), str(files.lines), mark]
    allowed = allowed_cpus()
    _set_affinity(allowed[: task.job.threads])  # the worker inherits it
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Frameworks start helpers by `python -m`, which imports from the current folder first.
            # The user's current folder may contain anything.
            cwd=files.assignment.parent,
            env=_variables(task, machine),
            start_new_session=True,
        )
    except OSError as error:
        raise RunError(
            f"{task.python}: cannot be started: {error.strerror}", expected="a Python interpreter"
        ) from error
    finally:
        _set_affinity(allowed)


def _variables(task: Task, machine: Machine) -> dict[str, str]:
    """The worker's environment variables."""
    threads = str(task.job.threads)
    gpu = gpu_of(machine, task.job.device)
    return {
        **inherited_variables(Path(task.python)),
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": gpu.uuid if gpu else "",
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **dict.fromkeys(_THREAD_VARIABLES, threads),
        **task.entry.variables,
    }


def _wait(
    worker: subprocess.Popen[bytes],
    sample: Callable[[], None],
    lines: Path,
    timeout: float,
    read_new_lines: Callable[[], bool],
) -> bool:
    """Wait until a worker exits; True if it made no progress for `timeout` seconds.

    After its `End` a worker may hang in its framework's threads, so it has only `_EXIT_SECONDS`.
    """
    size, last_progress, interval = 0, monotonic_seconds(), _FIRST_CHECK_SECONDS
    while worker.poll() is None:
        pause(interval)
        interval = min(2 * interval, _CHECK_SECONDS)
        sample()
        if lines.stat().st_size != size:
            size, last_progress = lines.stat().st_size, monotonic_seconds()
            if read_new_lines():
                timeout = _EXIT_SECONDS
        if monotonic_seconds() - last_progress > timeout:
            return True
    return False


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker and its helper processes, and wait until the worker has exited."""
    if hasattr(os, "killpg"):
        with suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.wait()


def _set_affinity(cpus: Sequence[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)


def read_lines(path: Path, mark: str) -> list[Line]:
    """The lines with this mark that a worker has written so far.

    An incomplete last line and text that cannot be decoded are left out. A line with another mark
    is from an earlier worker whose parent was killed.
    """
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return []
    lines: list[Line] = []
    for text in content.split(b"\n")[:-1]:
        with suppress(msgspec.DecodeError, UnicodeDecodeError):
            marked = msgspec.json.decode(text, type=MarkedLine)
            if marked.mark == mark:
                lines.append(msgspec.json.decode(marked.line, type=Line))
    return lines
