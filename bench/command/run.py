"""`bench run`: runs the jobs of a suite or workload that have no record yet, then reports."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from bench.command.choices import (
    choose_backends,
    choose_devices,
    choose_threads,
    say_without_native,
)
from bench.command.progress import ProgressDisplay
from bench.command.report import write_run_report
from bench.command.trainings import trainings
from bench.machine.host import Machine, this_machine
from bench.records.job import Record
from bench.records.limits import EngineLimits
from bench.records.run import claim_run
from bench.runner import plan
from bench.runner.environments import Environments
from bench.runner.jobs import make_tasks, run_tasks
from bench.runner.limits import limit_tasks, measure_limits
from bench.runner.rounds import Goal, run_rounds
from bench.runner.task import DataTask, Limits, Task
from specs.errors import UserError
from specs.model import Suite

# All 10,000 test images and as many training images: evaluating all 70,000 costs 16 to 80 % of a
# training epoch.
_EVALUATED = {"sample": 10_000, "full": sys.maxsize}


def run(options: argparse.Namespace) -> int:
    """`bench run`: plan, run what has no record, report.

    1 if a job did not end ok, or results disagree.
    """
    suite = plan.find_suite_or_workload(options.what)
    environments = Environments(dict(options.python))
    machine = this_machine(os.environ.get("CUDA_VISIBLE_DEVICES"))
    chosen = _chosen(options, environments, machine)
    folder = options.results / (options.run or suite.name)
    goal = _goal(options, suite, chosen)
    limits = Limits(timeout_seconds=options.timeout, train_evaluated=_EVALUATED[options.evaluate])
    console, retry = Console(stderr=True), options.retry
    with claim_run(folder, machine.name) as earlier:
        cells = plan.make_groups(trainings(options, suite, folder, earlier), chosen)

        def tasks_of(some: Sequence[plan.Group], turn: int) -> list[DataTask]:
            jobs = plan.make_round(some, chosen, suite, turn)
            return make_tasks(jobs, environments, machine, limits)

        engines = limit_tasks(tasks_of(cells, 0), folder, machine, retry=retry)
        show_limits(engines, folder, machine, console)
        here = [record for record in earlier if record.machine.name == machine.name]
        with ProgressDisplay(console, machine.name, here) as display:

            def run_all(tasks: list[DataTask]) -> list[Record]:
                return run_tasks(tasks, folder, machine, limits, display, retry=retry)

            records, ends = run_rounds(cells, tasks_of, run_all, goal, display)
        agree = write_run_report(folder, _said_ends(cells, ends))
    return 0 if agree and all(record.status in ("ok", "unsupported") for record in records) else 1


def _goal(options: argparse.Namespace, suite: Suite, chosen: plan.Options) -> Goal:
    """When there are enough rounds.

    Raises:
        UserError: a precision is asked for, and there is a single backend.
    """
    if options.until_precise is not None and len(chosen.backends) == 1:
        raise UserError(
            f"--until-precise compares backends, and {chosen.backends[0]} is alone",
            hint="--backend A,B",
        )
    return Goal(
        rounds=options.rounds or suite.rounds,
        precision=options.until_precise,
        seconds=options.budget,
    )


def _chosen(
    options: argparse.Namespace, environments: Environments, machine: Machine
) -> plan.Options:
    """The backends, devices, threads, seeds, rounds and modes that the user chose, or defaults.

    Raises:
        UserError: one of them is not known, not installed or not there.
    """
    chosen = plan.Options(
        backends=choose_backends(options.backend, environments, tuned=options.tuned),
        devices=choose_devices(options.device, machine),
        threads=choose_threads(options.threads),
        seeds=options.seeds,
        rounds=options.rounds,
        modes=options.mode,
    )
    say_without_native(chosen.backends, chosen.modes)
    return chosen


def _said_ends(cells: Sequence[plan.Group], ends: Sequence[str]) -> list[str]:
    """A line per cell that says why it had no more rounds; none for a cell of a single round."""
    told = []
    for (training, device), why in zip(cells, ends, strict=True):
        if why != "1 round":
            size = f" batch {training.batch_size}" if training.batch_size else ""
            told.append(f"{training.workload.name}{size} {device}: {why}")
    return told


def show_limits(tasks: Sequence[Task], folder: Path, machine: Machine, console: Console) -> None:
    """Measure the limits of every engine, see `bench.runner.limits`; prints a line for each."""
    for task in tasks:
        engine = f"{task.entry.environment} {task.job.device}"
        with console.status(f"what {engine} can reach"):
            made = measure_limits(task, folder, machine)
        console.print(f"limits of {engine}: {_say_limits(made)}", markup=False, soft_wrap=True)


def _say_limits(made: EngineLimits) -> str:
    if made.status != "ok":
        return f"{made.status}: {made.reason}"
    product, convolution, memory = (
        made.best(operation) for operation in ("matmul", "convolution", "memory")
    )
    return (
        f"product {product.per_second / 1e9:.3g} GFLOP/s, convolution"
        f" {convolution.per_second / 1e9:.3g} GFLOP/s, memory {memory.per_second / 1e9:.3g} GB/s"
        if product and convolution and memory
        else "not all measured"
    )
