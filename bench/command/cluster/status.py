"""`bench status` and `bench cancel`: show and cancel the tasks of a run on a cluster."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bench.command import say
from bench.records.files import RunError
from bench.report.form.words import first_of
from bench.report.terminal.plain import plain_console, plain_table
from bench.runner.cluster import slurm
from bench.runner.cluster.reconcile import TaskStatus, reconcile
from bench.runner.cluster.submission import folders_of, read_arrays
from bench.worker.clock import monotonic_seconds, pause

_COLUMNS = ("pending", "running", "done", "lost", "unknown")
# After a cancellation Slurm ends a task within its KillWait (30 s by default).
_WAIT_SECONDS, _CHECK_SECONDS = 60.0, 1.0


def status(options: argparse.Namespace) -> int:
    """`bench status`: print how many tasks of each node wait, run, are done or lost.

    Jobs that Slurm ended get their records. Returns 1 if a task is lost, or its state is unknown.
    """
    _require_submitted(options.run)
    tasks = settle(options.run)
    _print(tasks)
    return 1 if any(task.where in ("lost", "unknown") for task in tasks) else 0


def cancel(options: argparse.Namespace) -> int:
    """`bench cancel`: cancel the tasks that wait or run, and write the records of their jobs."""
    _require_submitted(options.run)
    waiting = [task for task in settle(options.run) if task.where in ("pending", "running")]
    if not waiting:
        say(f"{options.run}: no task is pending or running")
        return 0
    slurm.cancel(dict.fromkeys(task.job.partition("_")[0] for task in waiting))
    started = monotonic_seconds()
    tasks = settle(options.run)
    while any(task.where in ("pending", "running") for task in tasks):
        if monotonic_seconds() - started > _WAIT_SECONDS:
            say(f"bench: some tasks still run; see: bench status {options.run}", error=True)
            break
        pause(_CHECK_SECONDS)
        tasks = settle(options.run)
    say(f"{options.run}: {len(waiting)} tasks were cancelled")
    _print(tasks)
    return 0


def settle(run: Path) -> list[TaskStatus]:
    """The status of every task of a run; prints why Slurm could not be asked, if that matters.

    Jobs that Slurm ended get their records.
    """
    by_identity, problem = reconcile(run)
    tasks = [*by_identity.values()]
    if problem and any(task.where == "unknown" for task in tasks):
        say(f"bench: {problem}; the state of some tasks is unknown", error=True)
    return tasks


def _require_submitted(run: Path) -> None:
    if not any(map(read_arrays, folders_of(run))):
        raise RunError(f"{run}: was not submitted to Slurm", hint="bench submit ... submits a run")


def _print(tasks: Sequence[TaskStatus]) -> None:
    """Print a row per node, and why tasks are lost or wait."""
    counts: dict[tuple[str, str], Counter[str]] = {}
    for task in tasks:
        node = task.task.node
        counts.setdefault((node.name, node.partition), Counter())[task.where] += 1
    total = sum(counts.values(), Counter[str]())
    shown = [name for name in _COLUMNS if name != "unknown" or total[name]]
    table = plain_table(("node", "partition", *shown), left=("node", "partition"))
    for (name, partition), count in sorted(counts.items()):
        table.add_row(name, partition, *(str(count[word]) for word in shown))
    if len(counts) > 1:
        table.add_row("all", "", *(str(total[word]) for word in shown))
    console = plain_console()
    console.print(table)
    lines = [
        f"{task.where}: {task.task.name} on {task.task.node.name} ({task.job}): {task.why}"
        for task in sorted(tasks, key=lambda task: task.where)
        if task.why
    ]
    for line in first_of(lines):
        say(line)
