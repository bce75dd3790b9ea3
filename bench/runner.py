"""Jobs to processes to records. One job at a time; the parent sleeps while it measures, and every end is a record."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from pathlib import Path

import msgspec

from backends.contract import Job
from backends.registry import Entry
from bench import environments
from bench.data import DataSet
from bench.environments import Environments
from bench.files import write_atomically
from bench.machine import Machine, load
from bench.measure import monotonic_seconds, utc
from bench.process import Limits, Observer, Task, kill, start, watch
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

_LOG_TAIL_LINES = 20
# Our modules that a file of ours imports, however it is written; the rules' test holds imports to these two forms.
_IMPORTS = re.compile(r"^\s*(?:from|import) ((?:bench|backends|specs)(?:\.\w+)+)", re.MULTILINE)


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
        source, evaluated = _source(entry), min(limits.train_evaluated, data.train_examples)
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
        RunError: the folder cannot be written, or holds records of another version.
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
    before, started, began = load(), utc(), monotonic_seconds()
    with log.open("wb") as output:
        worker = start(task, machine, assignment, lines, output)
        try:
            timed_out, peak = watch(worker, task, machine, lines, limits, observer)
        finally:
            kill(worker)
            assignment.unlink(missing_ok=True)
    seconds = monotonic_seconds() - began
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


def _source(entry: Entry) -> bytes:
    """All of our text that a worker of this backend runs: a change to any of it makes another measurement."""
    found: dict[str, bytes] = {}
    ahead = ["bench.worker", entry.adapter.partition(":")[0]]
    while ahead:
        module = ahead.pop()
        path = environments.PROJECT.joinpath(*module.split(".")).with_suffix(".py")
        if module not in found and path.is_file():
            found[module] = path.read_bytes()
            ahead += _IMPORTS.findall(found[module].decode())
    return b"".join(found[module] for module in sorted(found))
