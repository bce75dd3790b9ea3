"""Finds the status of every task of a run, and writes the record of each job that Slurm ended.

A worker writes the record of its job. A task whose node fails, or that is cancelled before it
starts, cannot do that. So each command that looks at a run asks Slurm, and writes the records that
are missing. Several people may do so at any time, as a record that exists is not replaced. A job
that starts later replaces the record that was written here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from bench.machine.host import Machine
from bench.records.files import RunError
from bench.records.job import Record, SlurmTask
from bench.records.key import make_key
from bench.records.stored import write_first
from bench.runner.cluster import slurm
from bench.runner.cluster.submission import (
    Array,
    Started,
    Submission,
    Task,
    folders_of,
    log_of,
    numbers_started,
    read_arrays,
    read_started,
    read_submission,
)
from bench.runner.jobs import data_used, without_result
from bench.worker.lines import Status

Where = Literal["pending", "running", "done", "lost", "unknown"]
GONE = "GONE"  # Slurm has forgotten the task
_FORGOTTEN = slurm.TaskState(state=GONE, reason="")
_NEVER_STARTED = "never-started"  # a part of the key
_LOG_BYTES, _LOG_LINES = 4000, 20
_STATUS: Mapping[str, Status] = {
    "TIMEOUT": "timeout",
    "OUT_OF_MEMORY": "out of memory",
    "FAILED": "failed",
    "COMPLETED": "failed",
}
_WORDS: Mapping[str, str] = {
    "BOOT_FAIL": "the node did not boot",
    "CANCELLED": "the task was cancelled",
    "COMPLETED": "the task ended without a result",
    "DEADLINE": "the task reached its deadline",
    "FAILED": "the task failed",
    "NODE_FAIL": "the node failed",
    "OUT_OF_MEMORY": "the task exceeded its memory",
    "PREEMPTED": "another job took the node",
    "TIMEOUT": "the task reached its time limit",
    GONE: "Slurm no longer knows the task",
}


class TaskStatus(Struct, frozen=True, kw_only=True):
    """The status of a task.

    Attributes:
        job: its number in Slurm, such as "123_4".
        where: "lost" if Slurm ended it before all of its jobs had a result; "unknown" if Slurm
            could not be asked, and the run's folder does not tell.
        why: the reason that it waits or was lost, in words.
        is_good: whether every job has a result, and none failed.
    """

    task: Task
    job: str
    where: Where
    why: str = ""
    is_good: bool = False


class Result(Struct):
    """The fields of a job's record that are read here, as a run may have very many records."""

    status: Status
    reason: str
    slurm: SlurmTask | None = None


def reconcile(run: Path) -> tuple[dict[tuple[object, ...], TaskStatus], str]:
    """Write the missing records of the jobs that Slurm ended.

    Args:
        run: the run's folder.

    Returns:
        (the status of every task, by `Submission.identity`; why Slurm could not be asked, or "")

    Raises:
        RunError: a file cannot be read.
    """
    newest: dict[tuple[object, ...], _Submitted] = {}
    for folder in folders_of(run):
        submission, started = read_submission(folder), numbers_started(folder)
        for array in read_arrays(folder):
            for number in array.tasks:
                submitted = _Submitted(folder, submission, number, array, started)
                newest[submission.identity(submitted.task)] = submitted
    states, problem = _states([*newest.values()])
    made_up = any((run / "jobs").glob(f"*.{_NEVER_STARTED}.*"))
    return {
        identity: _settle(
            submitted,
            None if states is None else states.get(submitted.job, _FORGOTTEN),
            made_up=made_up,
        )
        for identity, submitted in newest.items()
    }, problem


class _Submitted:
    """A task that was submitted.

    Args:
        folder: the folder of its submission.
        submission: the submission.
        number: its number in the submission.
        array: its array in Slurm.
        started: the numbers of the tasks that have started.
    """

    def __init__(
        self, folder: Path, submission: Submission, number: int, array: Array, started: set[int]
    ) -> None:
        self.folder, self.submission, self.number = folder, submission, number
        self.has_started, self.task = number in started, submission.task(number)
        index = number - array.first
        self.array, self.job = array.job, f"{array.job}_{index}"
        self.log, self.jobs_folder = log_of(folder, array.job, index), folder.parents[1] / "jobs"


def _states(tasks: Sequence[_Submitted]) -> tuple[dict[str, slurm.TaskState] | None, str]:
    """(the states in Slurm, or None if Slurm cannot be asked; the reason)."""
    if not tasks:
        return None, ""
    try:
        here, theirs = slurm.site().cluster, {submitted.submission.cluster for submitted in tasks}
        if theirs != {here}:
            there = " and ".join(theirs)
            return None, f"the run was submitted on {there}, but this is the cluster {here}"
        return slurm.states(submitted.array for submitted in tasks), ""
    except slurm.SlurmError as error:
        return None, error.problem


def _settle(submitted: _Submitted, state: slurm.TaskState | None, *, made_up: bool) -> TaskStatus:
    """The status of a task; writes its missing records if it has ended.

    Args:
        submitted: the task.
        state: its state in Slurm; None if Slurm could not be asked.
        made_up: whether the run has records of tasks that never started.
    """
    status = TaskStatus(task=submitted.task, job=submitted.job, where="unknown")
    if state is not None and state.state != GONE and not state.has_ended:
        waits = state.state == "PENDING" or "REQUEUE" in state.state
        why = state.reason if waits and state.reason not in ("None", "Priority") else ""
        return replace(status, where="pending" if waits else "running", why=why)
    started = read_started(submitted.folder, submitted.number) if submitted.has_started else None
    expected = started.records if started else never_started(submitted.submission, submitted.task)
    if started is not None and made_up:
        forget_never_started(submitted.jobs_folder, submitted.submission, submitted.task)
    if state is not None:
        try:
            _write_missing(submitted, started, expected, state.state)
        except RunError as error:  # such as a full disk: the status is still reported
            return replace(status, where="lost", why=error.problem)
    results = [read_result(submitted.jobs_folder, record.key) for record in expected]
    ended = [result for result in results if result is not None]
    lost = [result for result in ended if result.slurm and result.slurm.state]
    if lost:
        return replace(status, where="lost", why=lost[0].reason)
    if len(ended) < len(results):
        return status
    good = all(result.status in ("ok", "unsupported") for result in ended)
    return replace(status, where="done", is_good=good)


def _write_missing(
    submitted: _Submitted, started: Started | None, expected: tuple[Record, ...], state: str
) -> None:
    if all((submitted.jobs_folder / f"{record.key}.json").exists() for record in expected):
        return
    never_ran = SlurmTask(
        job=submitted.job,
        attempt=0,
        node=submitted.task.node.name,
        partition="",
        gpus="",
        state=state,
    )
    task = replace(never_ran if started is None else started.slurm, state=state)
    task = replace(task, partition=task.partition or submitted.task.node.partition)
    details = tail(submitted.log)
    reason = f"Slurm: {state}: {_WORDS.get(state, 'the task has ended')}"
    if started is None:
        reason += ", before it started" + (_said(details) if state == "FAILED" else "")
    elif state == GONE and started.stopped:
        reason = (
            "Slurm: the task was stopped (cancelled, preempted, or its node failed);"
            " Slurm no longer knows why"
        )
    for record in expected:
        status = _STATUS.get(state, "killed")
        lost = replace(record, status=status, reason=reason, details=details, slurm=task)
        write_first(submitted.jobs_folder, lost)


def _said(log: str) -> str:
    """The last message of `bench` in a log, after a colon; "" if there is none."""
    lines = [line for line in log.splitlines() if line.startswith("bench: ")]
    return f": {lines[-1].removeprefix('bench: ')}" if lines else ""


def read_result(folder: Path, key: str) -> Result | None:
    """How a job ended; None if it has no record that can be read."""
    try:
        return msgspec.json.decode((folder / f"{key}.json").read_bytes(), type=Result)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None


def never_started(submission: Submission, task: Task) -> tuple[Record, ...]:
    """The records of a task's jobs if it never starts, with little about its machine.

    Their keys differ from the keys of jobs that start, and are the same in every submission.
    """
    node, data = task.node, task.training.data
    machine = Machine(
        name=node.name,
        system="unknown",
        cpu="unknown",
        logical_cpus=node.cpus,
        allowed_cpus=node.cpus,
        memory_bytes=node.memory_bytes,
        gpus=(),
    )
    records = []
    for job in submission.jobs(task):
        names = (job.workload.name, job.backend, job.device, _NEVER_STARTED)
        decisive = (node.name, data.checksum, msgspec.json.encode(job, order="sorted"))
        key = make_key(names, decisive)
        records.append(without_result(job, data_used(data), machine, key, started=submission.made))
    return tuple(records)


def forget_never_started(folder: Path, submission: Submission, task: Task) -> None:
    """Remove the records that say that a task never started.

    Args:
        folder: the run's folder of jobs.
        submission: the task's submission.
        task: the task, which has started.
    """
    for record in never_started(submission, task):
        (folder / f"{record.key}.json").unlink(missing_ok=True)


def tail(log: Path) -> str:
    """The last lines of a log; "" if it cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(max(0, log.stat().st_size - _LOG_BYTES))
            text = file.read(_LOG_BYTES).decode(errors="replace")
    except OSError:
        return ""
    return "\n".join(text.splitlines()[-_LOG_LINES:])
