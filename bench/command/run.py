"""`bench run`: runs the jobs of a suite or workload that have no record yet, then reports."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.command.progress import ProgressDisplay
from bench.command.report import warn_left_out, write_run_report
from bench.command.setup import Setup, set_up
from bench.command.trainings import trainings
from bench.records import limits as records_limits
from bench.records.job import Record
from bench.records.run import claim, read_run
from bench.runner import jobs, limits, plan
from bench.runner.rounds import Goal, run_rounds
from bench.runner.task import TrainingTask
from bench.runner.tasks import run_tasks
from specs.errors import UserError
from specs.model import Suite

# All 10,000 test images and as many training images: evaluating all 70,000 costs 16 to 80 % of a
# training epoch.
_EVALUATED = {"sample": 10_000, "full": sys.maxsize}


def run(options: argparse.Namespace) -> int:
    """`bench run`: plan, run what has no record, report.

    Returns 1 if a job ended neither "ok" nor "unsupported", or if results disagree; else 0.
    """
    suite, setup = plan.find_suite_or_workload(options.what), set_up(options)
    goal = _goal(options, suite, setup.choices)
    folder = options.results / (options.run or suite.name)
    with claim(folder / "jobs", setup.machine.name):
        earlier, left_out = read_run(folder)
        warn_left_out(left_out)
        this_run = _Run(options, suite, setup, folder, earlier)
        groups = this_run.groups()
        this_run.measure_limits(groups)
        records, reasons = this_run.run_jobs(groups, goal)
        notes = _reasons_in_words(groups, reasons)
        agree = write_run_report(folder, notes, [*earlier, *records], left_out)
    return 0 if agree and all(record.status in ("ok", "unsupported") for record in records) else 1


class _Run(NamedTuple):
    """A run: what was asked for, what it runs with, its folder, and the records it began with."""

    options: argparse.Namespace
    suite: Suite
    setup: Setup
    folder: Path
    earlier: Sequence[Record]

    def groups(self) -> list[plan.Group]:
        """The suite's workloads with their data sets, on every device."""
        planned = trainings(self.options, self.suite, self.setup.places, self.folder, self.earlier)
        return plan.make_groups(planned, self.setup.choices)

    def tasks(self, groups: Sequence[plan.Group], number: int) -> list[TrainingTask]:
        """The tasks of the round with that number."""
        planned = plan.make_round(groups, self.setup.choices, self.suite, number)
        evaluated = _EVALUATED[self.options.evaluate]
        return jobs.make_tasks(planned, self.setup.environments, self.setup.machine, evaluated)

    def measure_limits(self, groups: Sequence[plan.Group]) -> None:
        """Measure what each engine reaches by itself, see `bench.runner.limits`."""
        place, machine = self.folder / records_limits.FOLDER, self.setup.machine
        tasks = limits.limit_tasks(
            self.tasks(groups, 0),
            {record.key for record in self.earlier},
            records_limits.read_limits(self.folder)[0],
            machine,
            retry=self.options.retry,
        )
        with ProgressDisplay(self.setup.console, machine.name) as display:
            display.planned(tasks)
            run_tasks(
                tasks,
                place,
                machine,
                limits.make_record,
                timeout=limits.TIMEOUT_SECONDS,
                observer=display,
            )

    def run_jobs(self, groups: Sequence[plan.Group], goal: Goal) -> tuple[list[Record], list[str]]:
        """Run rounds until there are enough, see `bench.runner.rounds.run_rounds`."""
        machine, retry = self.setup.machine, self.options.retry
        here = [record for record in self.earlier if record.machine.name == machine.name]
        with ProgressDisplay(self.setup.console, machine.name, here) as display:
            run_round = partial(
                run_tasks,
                folder=self.folder / "jobs",
                machine=machine,
                make_record=jobs.make_record,
                timeout=self.options.timeout,
                observer=display,
                reused={r.key: r for r in self.earlier if r.status == "ok" or not retry},
            )
            return run_rounds(groups, self.tasks, run_round, goal, display)


def _goal(options: argparse.Namespace, suite: Suite, choices: plan.Options) -> Goal:
    """When there are enough rounds.

    Raises:
        UserError: a precision is asked for, and there is a single backend.
    """
    if options.until_precise is not None and len(choices.backends) == 1:
        raise UserError(
            f"--until-precise compares backends, and {choices.backends[0]} is alone",
            hint="--backend A,B",
        )
    return Goal(
        rounds=options.rounds or suite.rounds,
        precision=options.until_precise,
        seconds=options.budget,
    )


def _reasons_in_words(groups: Sequence[plan.Group], reasons: Sequence[str]) -> list[str]:
    """A line per group that says why it had no more rounds; none for a group of one round."""
    lines = []
    for group, reason in zip(groups, reasons, strict=True):
        if reason != "1 round":
            training = group.training
            size = f" batch {training.batch_size}" if training.batch_size else ""
            lines.append(f"{training.workload.name}{size} {group.device}: {reason}")
    return lines
