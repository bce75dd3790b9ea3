"""Runs one worker as a process: sets its variables, CPUs and GPU, and ends its whole group.

A worker (`bench.worker.start`) reads an assignment and tells what it does in lines; the last of
them is its `End`.
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
from bench.runner.task import Ended, Files, Task, files_of
from bench.worker import start
from bench.worker.clock import monotonic_seconds, pause, utc
from bench.worker.lines import End, Line, MarkedLine, Status

# The time between two looks of the parent. A look costs about 0.2 ms, so this is far under 1 % of a
# core; and the display still changes often enough.
_LOOK_SECONDS = 0.5
# A job that is over in less than this would otherwise wait for half a look.
_FIRST_LOOK_SECONDS = 0.05
# How long a worker that has told its end may take to end.
_LAST_SECONDS = 10.0
_LOG_TAIL_LINES = 20
# Every library that brings its own pool of threads takes its size from one of these.
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
    told: Callable[[list[Line]], None],
) -> Ended:
    """Run the worker of a task until it ends, whatever the outcome.

    Args:
        task: what it does, and on what it runs.
        folder: where its files are, see `files_of`; those of lines and log are not removed.
        machine: whose GPU it may see.
        timeout: seconds without a new line after which it is killed.
        told: called with all lines so far when there are new ones.

    Raises:
        RunError: a file cannot be written, or the interpreter cannot be started.
    """
    mark, files = uuid.uuid4().hex, files_of(task, folder)  # the mark of this worker's lines
    started, began = utc(), monotonic_seconds()
    write_atomically(files.assignment, msgspec.json.encode(task.assignment))
    write_atomically(files.lines, b"")
    gpu = gpu_of(machine, task.job.device)
    # Before the worker starts: the memory that is in use now is not the worker's.
    held = device.DeviceWatch(gpu.uuid) if gpu else None
    watch = Watch(allowed_cpus()[: task.job.threads], gpu.uuid if gpu else None)

    def look() -> bool:
        lines = read_lines(files.lines, mark)
        told(lines)
        return _told_end(lines) is not None

    with files.log.open("wb") as output:
        worker = _start(task, files, mark, machine, output)
        try:
            sample = partial(_sample, watch, held, worker.pid)
            timed_out = _watch(worker, sample, files.lines, timeout, look)
        finally:
            _kill(worker)
            files.assignment.unlink(missing_ok=True)
    lines = read_lines(files.lines, mark)
    unseen = partial(_end_unseen, worker.returncode, timeout if timed_out else None, files.log)
    return Ended(
        lines=lines,
        end=_told_end(lines) or unseen(),
        started=started,
        wall_seconds=monotonic_seconds() - began,
        peak=held.peak if held else None,
        disturbance=watch.end(),
    )


def _sample(watch: Watch, held: device.DeviceWatch | None, pid: int) -> None:
    """Look once at what disturbs a worker, and at its memory on its GPU if it has one."""
    watch.look()
    if held is not None:
        held.look(pid)


def _told_end(lines: Sequence[Line]) -> End | None:
    """The end that a worker told; None where it told none, or has not yet."""
    return next((line for line in lines if isinstance(line, End)), None)


def _end_unseen(code: int, timed_out_after: float | None, log: Path) -> End:
    """The end of a worker that told none: what its parent knows, and the log's last lines."""
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
    """Start a worker in a process group of its own.

    It gets the first `threads` of the allowed CPUs, and one GPU or none.
    """
    command = [task.python, start.__file__, str(files.assignment), str(files.lines), mark]
    allowed = allowed_cpus()
    _set_affinity(allowed[: task.job.threads])  # a child inherits it; ours is put back at once
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Frameworks start helpers by `python -m`, which looks in the current folder first: not
            # in the user's, where anything may be.
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
    """The worker's environment variables.

    They are this process's variables, the number of threads, the GPU, and the backend's variables.
    """
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


def _watch(
    worker: subprocess.Popen[bytes],
    sample: Callable[[], None],
    lines: Path,
    timeout: float,
    advanced: Callable[[], bool],
) -> bool:
    """Wait until a worker ends, or makes no progress for too long; True if it was too long.

    A worker that has told its end may still hang in its framework's threads: it gets a few seconds
    more.
    """
    size, seen, look = 0, monotonic_seconds(), _FIRST_LOOK_SECONDS
    while worker.poll() is None:
        pause(look)
        look = min(2 * look, _LOOK_SECONDS)
        sample()
        if lines.stat().st_size != size:
            size, seen = lines.stat().st_size, monotonic_seconds()
            if advanced():
                timeout = _LAST_SECONDS
        if monotonic_seconds() - seen > timeout:
            return True
    return False


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker's whole process group, and wait for the worker's end.

    It may have started helpers of its own, and may be in a system call.
    """
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
    """The lines with a mark that a worker has told so far.

    A last line that is not finished is left for the next look. Lines with another mark are left
    out: a worker whose parent was killed may still write some into the file of the next worker.
    Text that cannot be decoded is left out, too.
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
