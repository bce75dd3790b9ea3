"""Jobs to processes to records. One job at a time; the parent sleeps while it measures, and every end is a record."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Protocol

import msgspec
from msgspec import Struct

from backends.contract import Job
from backends.registry import Entry
from bench import environments, memory
from bench.data import DataSet
from bench.environments import Environments
from bench.files import RunError, write_atomically
from bench.machine import Machine, allowed_cpus, load
from bench.measure import monotonic_seconds, pause, utc
from bench.record import (
    FORMAT,
    DataUsed,
    End,
    Epoch,
    Record,
    Startup,
    Status,
    job_key,
    read_lines,
    read_record,
    write_record,
)
from bench.worker import Assignment

# How often the parent looks: a look costs about 0.2 ms, so this is far under 1 % of a core, and still feels alive.
_LOOK_SECONDS = 0.5
# A job that is over in less than this would otherwise wait for half a look.
_FIRST_LOOK_SECONDS = 0.05
_LOG_TAIL_LINES = 20
# How long a worker that has told its end may take to end.
_LAST_SECONDS = 10.0
# Every library that brings its own pool of threads takes its size from one of these.
_THREAD_VARIABLES = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMEXPR_NUM_THREADS")


class Task(Struct, frozen=True, kw_only=True):
    """A job with all that running and recording it needs."""

    job: Job
    data: DataSet
    key: str
    entry: Entry
    python: str
    versions: dict[str, str]


class Observer(Protocol):
    """Who is told what happens, to show it."""

    def started(self, task: Task, number: int) -> None: ...
    def advanced(self, task: Task, epochs: Sequence[Epoch]) -> None: ...
    def ended(self, task: Task, record: Record, *, old: bool) -> None: ...


class Limits(Struct, frozen=True, kw_only=True):
    """How a run treats its jobs: seconds without a sign of progress, and how much of the training set is evaluated."""

    timeout_seconds: float
    train_evaluated: int


def make_tasks(
    jobs: Sequence[tuple[Job, DataSet]], found: Environments, machine: Machine, limits: Limits
) -> list[Task]:
    """Each job with its interpreter, versions and key.

    Raises:
        InstallError: a backend is unknown, or not installed; or this is not a clone.
    """
    tasks = []
    for job, data in jobs:
        entry = environments.entry(job.backend)
        python, versions = found.require(job.backend), found.versions(entry.environment)
        source, evaluated = _adapter_source(entry), min(limits.train_evaluated, data.train_examples)
        tasks.append(
            Task(
                job=job,
                data=data,
                key=job_key(job, data.checksum, sorted(versions.items()), source, machine.name, evaluated),
                entry=entry,
                python=str(python),
                versions=versions,
            )
        )
    return tasks


def run_tasks(
    tasks: Sequence[Task], folder: Path, machine: Machine, limits: Limits, observer: Observer, *, retry: bool
) -> list[Record]:
    """Run what has no record yet (with `retry`, also what did not end ok), in order; every record, old and new.

    Args:
        tasks: from `make_tasks`.
        folder: the run's; records go to `folder/jobs`.
        machine: where this runs; it becomes part of every record.
        limits: see `Limits`.
        observer: told of every start, epoch and end.
        retry: run again what has a record that is not ok.

    Raises:
        RunError: the folder cannot be written, or holds records of a newer version.
        KeyboardInterrupt: passed on after the worker was stopped; the job it was at has no record.
    """
    records = []
    jobs = folder / "jobs"
    for number, task in enumerate(tasks, start=1):
        path = jobs / f"{task.key}.json"
        record = read_record(path) if path.exists() else None
        old = record is not None and (record.status == "ok" or not retry)
        if record is None or not old:
            observer.started(task, number)
            record = _run_task(task, jobs, machine, limits, observer)
            write_record(jobs, record)
            (jobs / f"{task.key}.progress.jsonl").unlink(missing_ok=True)
        observer.ended(task, record, old=old)
        records.append(record)
    return records


def _run_task(task: Task, jobs: Path, machine: Machine, limits: Limits, observer: Observer) -> Record:
    """Run one worker to its end, whatever that is."""
    assignment, lines, log = (jobs.resolve() / f"{task.key}.{end}" for end in ("assignment", "progress.jsonl", "log"))
    content = Assignment(
        job=task.job, adapter=task.entry.adapter, data=task.data.folder, train_evaluated=limits.train_evaluated
    )
    write_atomically(assignment, msgspec.json.encode(content))
    write_atomically(lines, b"")
    before, started, start = load(), utc(), monotonic_seconds()
    with log.open("wb") as output:
        worker = _start(task, machine, assignment, lines, output)
        try:
            timed_out, peak = _watch(worker, task, machine, lines, limits, observer)
        finally:
            _kill(worker)
            assignment.unlink(missing_ok=True)
    seconds = monotonic_seconds() - start
    told = read_lines(lines)
    startup = next((line for line in told if isinstance(line, Startup)), None)
    epochs = tuple(line for line in told if isinstance(line, Epoch))
    end = next((line for line in told if isinstance(line, End)), None)
    if end is None:
        end = _end_unseen(worker.returncode, limits, log, timed_out=timed_out)
    if end.status == "ok":
        log.unlink(missing_ok=True)
    return Record(
        format=FORMAT,
        key=task.key,
        status=end.status,
        reason=end.reason,
        details=end.traceback,
        job=task.job,
        data=DataUsed(
            name=task.data.name,
            checksum=task.data.checksum,
            train_examples=task.data.train_examples,
            test_examples=task.data.test_examples,
        ),
        machine=machine,
        versions=task.versions,
        started=started,
        wall_seconds=seconds,
        cpu_seconds=end.cpu_seconds,
        load_before=before,
        load_after=load(),
        startup=startup,
        epochs=epochs,
        device_memory=end.device_memory,
        device_peak_bytes=peak,
    )


def _start(task: Task, machine: Machine, assignment: Path, lines: Path, output: IO[bytes]) -> subprocess.Popen[bytes]:
    """A worker in a process group of its own, on the first `threads` of our CPUs, seeing one GPU or none."""
    command = [task.python, "-m", "bench.worker", str(assignment), str(lines)]
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
    gpu = next((gpu.uuid for gpu in machine.gpus if task.job.device == f"cuda:{gpu.index}"), "")
    # A cluster's modules put their packages on the path; an environment that we made needs none of them.
    ours = environments.ENVIRONMENTS_FOLDER in Path(task.python).parents
    inherited = "" if ours else os.pathsep + os.environ.get("PYTHONPATH", "")
    return {
        **{name: value for name, value in os.environ.items() if name not in ("PYTHONHOME", "PYTHONSTARTUP")},
        "PYTHONPATH": str(environments.PROJECT) + inherited,
        "PYTHONUNBUFFERED": "1",
        "CUDA_VISIBLE_DEVICES": gpu,
        "CUDA_DEVICE_ORDER": "PCI_BUS_ID",
        **dict.fromkeys(_THREAD_VARIABLES, threads),
        **task.entry.variables,
    }


def _watch(
    worker: subprocess.Popen[bytes], task: Task, machine: Machine, lines: Path, limits: Limits, observer: Observer
) -> tuple[bool, int | None]:
    """Wait for the end, or for too long without a sign of progress; whether it was too long, and the GPU's peak.

    A worker that has told its end may still hang in its framework's threads: it gets a few seconds more.
    """
    gpu = next((gpu.uuid for gpu in machine.gpus if task.job.device == f"cuda:{gpu.index}"), None)
    size, seen, peak, look = 0, monotonic_seconds(), None, _FIRST_LOOK_SECONDS
    patience = limits.timeout_seconds
    while worker.poll() is None:
        pause(look)
        look = min(2 * look, _LOOK_SECONDS)
        if gpu is not None:
            peak = max(filter(None, (peak, memory.driver_bytes(gpu, worker.pid))), default=None)
        if lines.stat().st_size != size:
            size, seen = lines.stat().st_size, monotonic_seconds()
            told = read_lines(lines)
            observer.advanced(task, [line for line in told if isinstance(line, Epoch)])
            if any(isinstance(line, End) for line in told):
                patience = _LAST_SECONDS
        if monotonic_seconds() - seen > patience:
            return True, peak
    return False, peak


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """End the whole process group: a worker may have started helpers of its own, and may be in a system call."""
    if hasattr(os, "killpg"):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(worker.pid, signal.SIGKILL)
    else:
        worker.kill()
    worker.wait()


def _end_unseen(code: int, limits: Limits, log: Path, *, timed_out: bool) -> End:
    """The end of a worker that could not tell it: what is known from outside, and the log's last lines."""
    status: Status
    if timed_out:
        status, reason = "timeout", f"no sign of progress for {limits.timeout_seconds:g} s"
    elif code < 0:
        name = signal.Signals(-code).name
        status, reason = "killed", f"signal {name}"
        if -code == signal.SIGKILL:
            reason += ": by a person, a scheduler, or the kernel for lack of memory"
    else:
        status, reason = "failed", f"the worker stopped with exit code {code} and did not say why"
    tail = log.read_text(encoding="utf-8", errors="replace").splitlines()[-_LOG_TAIL_LINES:]
    return End(status=status, reason=reason, traceback="\n".join(tail), cpu_seconds=None, device_memory=None)


def _adapter_source(entry: Entry) -> bytes:
    """The adapter's own text and that of the files named after it: a change to any makes another measurement."""
    module = entry.adapter.partition(":")[0].rpartition(".")
    folder = environments.PROJECT.joinpath(*module[0].split("."))
    family = module[2].partition("_")[0]
    return b"".join(path.read_bytes() for path in sorted(folder.glob(f"{family}*.py")))


def _set_affinity(cpus: Sequence[int]) -> None:
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cpus)
