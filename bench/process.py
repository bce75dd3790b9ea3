"""One worker as a process: its environment, its CPUs and GPU, the wait for its end, and the end of its whole group.

A worker is a module of `bench` that reads an assignment and tells what it does in lines, the last of them its `End`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import uuid
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import IO, Any, Protocol

import msgspec
from msgspec import Struct

from backends.contract import Job
from backends.registry import Entry
from bench import environments, memory
from bench.data import DataSet
from bench.disturbance import Disturbance, Watch
from bench.files import RunError, write_atomically
from bench.machine import Machine, allowed_cpus, gpu_of
from bench.measure import monotonic_seconds, pause
from bench.record import End, Epoch, Record, Status, read_lines

# How often the parent looks: a look costs about 0.2 ms, so this is far under 1 % of a core, and still feels alive.
_LOOK_SECONDS = 0.5
# A job that is over in less than this would otherwise wait for half a look.
_FIRST_LOOK_SECONDS = 0.05
# How long a worker that has told its end may take to end.
_LAST_SECONDS = 10.0
_LOG_TAIL_LINES = 20
# Every library that brings its own pool of threads takes its size from one of these.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Task(Struct, frozen=True, kw_only=True):
    """A job with all that running it in a worker needs; for `adapter_checksum` see `Record`."""

    job: Job
    key: str
    entry: Entry
    python: str
    versions: dict[str, str]
    adapter: str
    adapter_checksum: str


class DataTask(Task, frozen=True, kw_only=True):
    """A task of a run, with the data set that its job trains on."""

    data: DataSet


class Observer(Protocol):
    """Who is told what happens, to show it."""

    def planned(self, tasks: Sequence[DataTask]) -> None: ...
    def started(self, task: DataTask) -> None: ...
    def advanced(self, task: DataTask, epochs: Sequence[Epoch]) -> None: ...
    def ended(self, task: DataTask, record: Record, *, old: bool) -> None: ...


class Limits(Struct, frozen=True, kw_only=True):
    """How a run treats its jobs: seconds without a sign of progress, and how much of the training set is evaluated."""

    timeout_seconds: float
    train_evaluated: int


class Files(Struct, frozen=True, kw_only=True):
    """Where a worker reads its assignment, tells its lines, and leaves what frameworks print."""

    assignment: Path
    lines: Path
    log: Path


class Ended(Struct, frozen=True, kw_only=True):
    """A worker after its end: the lines that it told; its end, if need be as seen from outside; what the parent saw."""

    lines: list[Any]
    end: End
    peak: memory.DevicePeak | None
    disturbance: Disturbance


def files_of(task: Task, folder: Path) -> Files:
    """The files of a task's worker, in its run's folder."""
    names = (folder.resolve() / f"{task.key}.{end}" for end in ("assignment", "progress.jsonl", "log"))
    return Files(**dict(zip(("assignment", "lines", "log"), names, strict=True)))


def run_worker(
    module: str,
    task: Task,
    assignment: Struct,
    files: Files,
    machine: Machine,
    timeout: float,
    kind: Any,
    advanced: Callable[[list[Any]], None] = lambda _: None,
) -> Ended:
    """Run `python -m MODULE` on an assignment to its end, whatever that is.

    Args:
        module: the worker's.
        task: where and on what it runs.
        assignment: what it reads.
        files: see `files_of`; those of lines and log stay.
        machine: whose GPU it may see.
        timeout: seconds without a new line after which it is killed.
        kind: of its lines, an `End` among them.
        advanced: called with all lines so far when there are new ones.
    """
    start = uuid.uuid4().hex  # which lines are this worker's
    write_atomically(files.assignment, msgspec.json.encode(assignment))
    write_atomically(files.lines, b"")
    gpu = gpu_of(machine, task.job.device)
    held = memory.DeviceWatch(gpu.uuid) if gpu else None  # before there is a worker: what is in use now is not its
    disturbance = Watch(allowed_cpus()[: task.job.threads], gpu.uuid if gpu else None)
    with files.log.open("wb") as output:
        worker = _start((module, str(files.assignment), str(files.lines), start), task, machine, output)

        def look() -> bool:
            lines = read_lines(files.lines, kind, start)
            advanced(lines)
            return _told_end(lines) is not None

        try:
            timed_out = _watch(worker, partial(_sample, disturbance, held, worker.pid), files.lines, timeout, look)
        finally:
            _kill(worker)
            files.assignment.unlink(missing_ok=True)
    lines = read_lines(files.lines, kind, start)
    return Ended(
        lines=lines,
        end=_told_end(lines) or _end_unseen(worker.returncode, timeout if timed_out else None, files.log),
        peak=held.peak if held else None,
        disturbance=disturbance.end(),
    )


def _sample(disturbance: Watch, held: memory.DeviceWatch | None, pid: int) -> None:
    """Look once at what disturbs a worker, and at the memory that it holds on its GPU, if it has one."""
    disturbance.look()
    if held is not None:
        held.look(pid)


def _told_end(lines: Sequence[Any]) -> End | None:
    """The end that a worker told; None where it told none, or has not yet."""
    return next((line for line in lines if isinstance(line, End)), None)


def _end_unseen(code: int, timed_out_after: float | None, log: Path) -> End:
    """The end of a worker that could not tell it: what is known from outside, and the log's last lines."""
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
    return End(status=status, reason=reason, traceback="\n".join(tail), cpu_seconds=None, device_memory=None)


def _start(module: Sequence[str], task: Task, machine: Machine, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """A module with its arguments, as a process group of its own, on the first `threads` CPUs, with one GPU or none."""
    command = [task.python, "-m", *module]
    allowed = allowed_cpus()
    _set_affinity(allowed[: task.job.threads])  # a child inherits it; ours is put back at once
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=environments.PROJECT,  # `python -m` looks there first, so a stray `bench/` of the user's is not found
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
    """The worker's environment: ours, our packages on its path, the threads, the GPU, the backend's own."""
    threads = str(task.job.threads)
    gpu = gpu_of(machine, task.job.device)
    # A cluster's modules put their packages on the path; an environment that we made needs none of them.
    ours = environments.ENVIRONMENTS_FOLDER in Path(task.python).parents
    inherited = "" if ours else os.pathsep + os.environ.get("PYTHONPATH", "")
    return {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONSTARTUP")},
        "PYTHONPATH": str(environments.PROJECT) + inherited,
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
    """Wait for the end, or for too long without a sign of progress; whether it was too long.

    A worker that has told its end may still hang in its framework's threads: it gets a few seconds more.
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
    """End the whole process group: a worker may have started helpers of its own, and may be in a system call."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.wait()


def _set_affinity(cpus: Sequence[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
