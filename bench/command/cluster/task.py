"""`bench task`: runs one task of a submission on a node; the script of an array calls it.

Many tasks write into a run at the same time. The keys of two tasks differ, and a task reads only
its own records.
"""

from __future__ import annotations

import argparse
import os
import shutil
import signal
import tempfile
from itertools import groupby
from pathlib import Path
from types import FrameType

from msgspec.structs import replace

from bench.command import say
from bench.command.parser import make_parser
from bench.command.run import Running, goal_of
from bench.command.setup import set_up
from bench.records.job import Record, SlurmTask
from bench.records.limits import FOLDER as LIMITS
from bench.records.stored import read_keys, write_first
from bench.records.turns import FOLDER as TURNS
from bench.records.turns import Turns
from bench.runner import plan
from bench.runner.cluster.reconcile import forget_never_started
from bench.runner.cluster.slurm import own_task
from bench.runner.cluster.submission import (
    Started,
    Submission,
    Task,
    read_started,
    read_submission,
    write_started,
)
from bench.runner.group import key_of
from bench.runner.jobs import data_used, without_result
from bench.runner.task import TrainingTask
from bench.worker.clock import utc
from specs.errors import UserError

_TIME_LIMIT = "Slurm: TIMEOUT: the task reached its time limit"


class _TimeLimit(KeyboardInterrupt):
    """Slurm's notice that the time limit is near; workers end as after an interrupt."""


def task(options: argparse.Namespace) -> int:
    """`bench task`: run the jobs of a task that have no result yet.

    Returns 1 if a job ended neither "ok" nor "unsupported".
    """
    signal.signal(signal.SIGUSR1, _notice)
    folder, number = options.folder.absolute(), options.number
    submission, slurm = read_submission(folder), own_task(os.environ)
    if number not in range(len(submission.places)):
        raise UserError(f"{folder}: no task {number}, only 0 to {len(submission.places) - 1}")
    if slurm is None:
        raise UserError("bench task runs only in a job array of Slurm", hint="use bench submit")
    of_node = submission.task(number)
    before = read_started(folder, number)
    if before is not None:  # Slurm does not count starts of another submission
        slurm = replace(slurm, attempt=max(slurm.attempt, 1 + before.slurm.attempt))
    running = _running(submission, of_node, folder.parents[1], slurm)
    started = Started(slurm=slurm, started=utc(), records=_without_results(running, of_node))
    write_started(folder, number, started)
    forget_never_started(running.folder / "jobs", submission, of_node)
    try:
        return _run(running, of_node)
    except _TimeLimit:
        lost = replace(slurm, state="TIMEOUT")
        for record in started.records:
            late = replace(record, status="timeout", reason=_TIME_LIMIT, slurm=lost)
            write_first(running.folder / "jobs", late)
        return 1
    except KeyboardInterrupt:
        write_started(folder, number, replace(started, stopped=utc()))
        raise


def _notice(_number: int, _frame: FrameType | None) -> None:
    raise _TimeLimit


def _running(submission: Submission, of_node: Task, run: Path, slurm: SlurmTask) -> Running:
    """The run of a task, with the earlier records of the task's own jobs only."""
    options = make_parser().parse_args(list(submission.arguments))
    options.backend, options.tuned = submission.choices.backends, False
    options.device, options.precision = (of_node.device,), (of_node.precision,)
    setup = set_up(options, native=submission.suite.native)
    running = Running(options, submission.suite, setup, run, (), slurm)
    keys = [planned.key for planned in _tasks(running, of_node)]
    return running._replace(earlier=read_keys(run / "jobs", Record, keys))


def _tasks(running: Running, of_node: Task, *, least: bool = False) -> list[TrainingTask]:
    """The jobs of the largest number of rounds that may run; with `least`, of the smallest."""
    goal = goal_of(running.options, running.suite, running.setup.choices)
    rounds = goal.least_rounds if least else goal.most_rounds
    groups = [_group(running, of_node)]
    return [planned for number in range(rounds) for planned in running.tasks(groups, number)]


def _group(running: Running, of_node: Task) -> plan.Group:
    """The group of a task, with the name of its device on this node: "cuda:0" for "cuda"."""
    return replace(of_node.group, device=running.setup.choices.devices[0])


def _without_results(running: Running, of_node: Task) -> tuple[Record, ...]:
    """The records that the jobs get if Slurm ends the task before they have a result."""
    return tuple(
        without_result(
            planned.job,
            data_used(planned.data),
            running.setup.machine,
            planned.key,
            started=utc(),
            versions=planned.versions,
            adapter_checksum=planned.adapter_checksum,
            variables=planned.variables,
        )
        for planned in _tasks(running, of_node, least=True)
    )


def _turns(running: Running, of_node: Task) -> list[Turns]:
    """The earlier turns of the jobs."""
    tasks = [planned for planned in _tasks(running, of_node) if planned.job.mode == "matched"]
    groups = groupby(tasks, key=lambda planned: (planned.job.round, planned.job.seed))
    return read_keys(running.folder / TURNS, Turns, [key_of([*of_round]) for _, of_round in groups])


def _run(running: Running, of_node: Task) -> int:
    groups, goal = (
        [_group(running, of_node)],
        goal_of(running.options, running.suite, running.setup.choices),
    )
    # Without an own folder, tasks that run at the same time would share the files of workers: two
    # starts of one task, or the limits of two tasks on GPUs of one node.
    with tempfile.TemporaryDirectory(prefix="bench-task-", ignore_cleanup_errors=True) as files:
        try:
            if of_node.limits:
                running.measure_limits(groups, Path(files) / LIMITS)
            turns = _turns(running, of_node)
            records, _ = running.run_jobs(groups, goal, turns, Path(files) / "jobs")
        finally:
            _keep_logs(Path(files), running.folder)
    return 0 if all(record.status in ("ok", "unsupported") for record in records) else 1


def _keep_logs(files: Path, run: Path) -> None:
    """Keep the output of jobs that did not end ok, if the disk has space."""
    for log in files.glob("*/*.log"):
        if log.stat().st_size:
            try:
                (run / log.parent.name).mkdir(exist_ok=True)
                shutil.copyfile(log, run / log.relative_to(files))
            except OSError as error:  # must not hide how the jobs ended
                say(f"bench: cannot copy {log.name}: {error.strerror}", error=True)
