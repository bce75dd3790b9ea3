"""`bench run`: runs the jobs of a suite or workload that have no record yet, then reports."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from itertools import groupby
from pathlib import Path
from typing import NamedTuple

from backends.contract import Job
from backends.registry import DEFAULT_BACKENDS
from bench.command import say
from bench.command.progress import ProgressDisplay, expected_seconds, in_minutes
from bench.command.report import warn_left_out, write_run_report
from bench.command.setup import Setup, set_up
from bench.command.trainings import trainings
from bench.records import limits as records_limits
from bench.records.command import write_command
from bench.records.job import Record, SlurmTask, in_precision
from bench.records.learned import FOLDER as LEARNED
from bench.records.limits import EngineLimits
from bench.records.noise import FOLDER, Calibration, read_calibrations
from bench.records.run import claim, read_run
from bench.records.stored import read_keys
from bench.records.turns import Turns, read_turns
from bench.records.weights import path_of, weights_bytes
from bench.report.terminal.unsupported import nothing_ran
from bench.runner import jobs, limits, plan
from bench.runner.cluster.slurm import own_task
from bench.runner.group import GroupRunner, keeps_learned, tasks_with_turns
from bench.runner.rounds import Goal, Times, run_rounds
from bench.runner.task import TrainingTask
from bench.runner.tasks import run_tasks
from bench.runner.turns import START_SECONDS, TURN_SECONDS, Wanted
from bench.statistics.noise import process_spread
from specs.errors import UserError
from specs.files import remove_leftovers
from specs.model import Suite

# "sample": 10,000 training images beside the 10,000 test images. Evaluating all 70,000 images costs
# 16 to 80 % of a training epoch.
_EVALUATED = {"sample": 10_000, "full": sys.maxsize}


def run(options: argparse.Namespace) -> int:
    """`bench run`: plan, run the jobs without a record, report.

    Returns 1 if a job ended neither "ok" nor "unsupported", if results disagree, or if a named
    backend or device ran no job (see `bench.report.terminal.unsupported`); else 0.
    """
    suite = plan.find_suite_or_workload(options.what)
    setup = set_up(options, suite.backends or DEFAULT_BACKENDS, suite.native)
    goal = goal_of(options, suite, setup.choices)
    folder = options.results / (options.run or suite.name)
    if options.dry_run:
        earlier = read_run(folder)[0] if (folder / "jobs").is_dir() else []
        this_run = Running(options, suite, setup, folder, earlier)
        this_run.say_plan(this_run.groups())
        return 0
    with claim(folder / "jobs", setup.machine.name):
        earlier, left_out = read_run(folder)
        warn_left_out(left_out)
        write_command(folder, options.arguments)
        remove_leftovers(folder / LEARNED, "tmp*.new")
        task = own_task(os.environ)
        this_run = Running(options, suite, setup, folder, earlier, task)
        groups = this_run.groups()
        this_run.say_plan(groups)
        this_run.measure_limits(groups)
        records, reasons = this_run.run_jobs(groups, goal, read_turns(folder)[0])
        notes = _reasons_in_words(groups, reasons)
        agree = write_run_report(folder, notes, [*earlier, *records], left_out)
    gone = nothing_ran(records, options.backend, options.device)
    for line in gone:
        say(line)
    ended = all(record.status in ("ok", "unsupported") for record in records)
    return 0 if agree and ended and not gone else 1


class Running(NamedTuple):
    """A run: its options, suite, setup and folder, and the records of earlier calls.

    Attributes:
        slurm: the Slurm task of the run, which its records name; None outside of Slurm.
    """

    options: argparse.Namespace
    suite: Suite
    setup: Setup
    folder: Path
    earlier: Sequence[Record]
    slurm: SlurmTask | None = None

    def groups(self) -> list[plan.Group]:
        """The suite's workloads with their data sets, on every device."""
        planned = trainings(self.options, self.suite, self.setup.places, self.folder, self.earlier)
        return plan.make_groups(planned, self.setup.choices)

    def tasks(self, groups: Sequence[plan.Group], number: int) -> list[TrainingTask]:
        """The tasks of one round."""
        planned = plan.make_round(groups, self.setup.choices, self.suite, number)
        evaluated = _EVALUATED[self.options.evaluate]
        return jobs.make_tasks(planned, self.setup.environments, self.setup.machine, evaluated)

    def say_plan(self, groups: Sequence[plan.Group]) -> None:
        """Print the jobs, the folder of their records, and the expected time."""
        least = goal_of(self.options, self.suite, self.setup.choices).least_rounds
        tasks = [task for number in range(least) for task in self.tasks(groups, number)]
        missing = [task for task in tasks if task.key not in self.reused()]
        choices, console = self.setup.choices, self.setup.console
        data = dict.fromkeys(group.training.data.name for group in groups)
        workloads = dict.fromkeys(group.training.workload.name for group in groups)
        done = (
            f", {len(tasks) - len(missing)} of them finished" if len(missing) < len(tasks) else ""
        )
        console.print(
            f"{self.suite.name}: {_number(len(tasks), 'job')}{done}; {', '.join(workloads)} in"
            f" {_number(len(choices.backends), 'backend')}, on {', '.join(choices.devices)} with"
            f" {_number(choices.threads, 'thread')}{_precisions(choices)}; data set"
            f" {', '.join(data)}"
        )
        seconds = expected_seconds(missing, self.earlier) + self._seconds_of_turns(tasks)
        console.print(
            f"{in_minutes(seconds)}, into {self.folder}; Ctrl-C is safe: the same command resumes"
        )
        keeping = [task.job for task in tasks if self.keeps_weights(task.job)]
        if keeping:
            size = sum(weights_bytes(job.workload) for job in keeping) / 1e6
            console.print(f"--keep-weights: {_number(len(keeping), 'file')}, {size:.3g} MB in all")

    def _seconds_of_turns(self, tasks: Sequence[TrainingTask]) -> float:
        """The estimated time of the turns that are missing."""
        taken = self._taken(read_turns(self.folder)[0])
        wanted, reused, seconds = Wanted(sweeps=self.sweeps), self.reused(), 0.0
        bad = {key for key, record in reused.items() if record.status != "ok"}
        for _, of_group in groupby(tasks, key=lambda task: (task.job.round, _group_and_seed(task))):
            turning = tasks_with_turns([*of_group], wanted, taken)
            able = [task for task in turning if task.key not in bad]
            if len(able) > 1:
                started = sum(task.key in reused for task in able)
                seconds += len(able) * self.sweeps * TURN_SECONDS + started * START_SECONDS
        return seconds

    def _taken(self, turns: Sequence[Turns]) -> dict[str, Turns]:
        """The turns by key; those that were refused are taken again with `--retry`."""
        retry = self.options.retry
        return {of_group.key: of_group for of_group in turns if not (retry and of_group.refused)}

    @property
    def sweeps(self) -> int:
        """The number of turns of each backend, from the option, else from the suite."""
        return self.suite.turns if self.options.turns is None else int(self.options.turns)

    def reused(self) -> dict[str, Record]:
        """The records of jobs that are not run again, by key."""
        retry = self.options.retry
        return {
            r.key: r
            for r in self.earlier
            if (r.status == "ok" or not (retry or r.ended_by_slurm)) and not self.lacks_weights(r)
        }

    @property
    def first_seed(self) -> int:
        """The seed whose jobs store what they have learned."""
        return (self.setup.choices.seeds or self.suite.seeds)[0]

    def keeps_weights(self, job: Job) -> bool:
        """Whether a job stores all its weights."""
        if not self.options.keep_weights or job.mode != "matched":
            return False
        return keeps_learned(job, self.first_seed)

    def lacks_weights(self, record: Record) -> bool:
        """Whether a job must run again to store its weights."""
        is_wanted = record.status == "ok" and self.keeps_weights(record.job)
        return is_wanted and not path_of(self.folder, record.key).is_file()

    def measure_limits(self, groups: Sequence[plan.Group], files: Path | None = None) -> None:
        """Measure the peak rates of each engine, see `bench.runner.limits`.

        Args:
            groups: the groups that run.
            files: the folder of the workers' files; None for the folder of the records.
        """
        machine, folder = self.setup.machine, self.folder / records_limits.FOLDER
        missing = partial(
            limits.limit_tasks,
            self.tasks(groups, 0),
            {record.key for record in self.earlier if not record.ended_by_slurm},
            machine=machine,
            retry=self.options.retry,
        )
        measured = read_keys(folder, EngineLimits, [task.key for task in missing(measured=())])
        tasks = missing(measured=measured)
        with ProgressDisplay(self.setup.console, machine.name) as display:
            display.planned(tasks)
            run_tasks(
                tasks,
                folder,
                machine,
                limits.make_record,
                timeout=limits.TIMEOUT_SECONDS,
                observer=display,
                files=files,
            )

    def run_jobs(
        self,
        groups: Sequence[plan.Group],
        goal: Goal,
        turns: Sequence[Turns],
        files: Path | None = None,
    ) -> tuple[list[Record], list[str]]:
        """Run rounds until there are enough, see `bench.runner.rounds.run_rounds`.

        Args:
            groups: the groups to run.
            goal: when there are enough rounds.
            turns: the turns of earlier calls.
            files: the folder of the workers' files; None for the folder of the records. Then a
                report is written after each workload of the first round.
        """
        machine = self.setup.machine
        here = [record for record in self.earlier if record.machine.name == machine.name]
        by_key = self._taken(turns)
        with ProgressDisplay(self.setup.console, machine.name, here) as display:
            group = GroupRunner(
                folder=self.folder,
                files=files,
                slurm=self.slurm,
                machine=machine,
                timeout=self.options.timeout,
                observer=display,
                reused=self.reused(),
                wanted=Wanted(sweeps=self.sweeps, precision=goal.precision),
                taken=by_key,
                first_seed=self.first_seed,
                keep_weights=self.options.keep_weights,
            )
            run_round = partial(self._run_round, group.run) if files is None else group.run
            times = Times(by_key, partial(process_spread, calibrations=self._calibrations()))
            return run_rounds(groups, self.tasks, run_round, goal, times=times, observer=display)

    def _calibrations(self) -> list[Calibration]:
        """The calibrations in the run's folder and beside it."""
        return read_calibrations([self.folder / FOLDER, self.folder.resolve().parent / FOLDER])[0]

    def _run_round(
        self, run: Callable[[list[TrainingTask]], list[Record]], tasks: Sequence[TrainingTask]
    ) -> list[Record]:
        """Run the tasks of a round; in the first round, write the report after each workload.

        In later rounds that would take too much time.
        """
        from bench.report.page import write_report  # see bench.command.report.write_run_report

        earlier, records = {record.key: record for record in self.earlier}, list[Record]()
        for _, of_group in groupby(tasks, key=_group_and_seed):
            if any(record.key not in earlier for record in records) and not tasks[0].job.round:
                write_report(self.folder, [*self.earlier, *records])
                self.setup.console.print(f"{self.folder / 'report.html'} shows the results so far")
            records += run([*of_group])
        return records


def _precisions(choices: plan.Options) -> str:
    """The chosen precisions in words; "" for float32 alone."""
    chosen = choices.precisions
    return "" if chosen == ("float32",) else f", in {' and '.join(chosen)}"


def _number(number: int, noun: str) -> str:
    return f"{number} {noun}" + ("" if number == 1 else "s")


def _group_and_seed(task: TrainingTask) -> tuple[str, int, str, str, int]:
    job = task.job
    return job.workload.name, job.batch_size, job.device, job.precision, job.seed


def goal_of(options: argparse.Namespace, suite: Suite, choices: plan.Options) -> Goal:
    """The condition that ends the run.

    Raises:
        UserError: a precision is the goal, and there is only one backend.
    """
    if options.until_precise is not None and len(choices.backends) == 1:
        raise UserError(
            f"--until-precise compares backends, but {choices.backends[0]} is the only one",
            hint="--backend A,B",
        )
    return Goal(
        rounds=options.rounds or suite.rounds,
        precision=options.until_precise,
        seconds=options.budget,
    )


def _reasons_in_words(groups: Sequence[plan.Group], reasons: Sequence[str]) -> list[str]:
    """A line per group that says why it ran no more rounds; none for a group of one round."""
    lines = []
    for group, reason in zip(groups, reasons, strict=True):
        if reason != "1 round":
            training = group.training
            size = f" batch {training.batch_size}" if training.batch_size else ""
            place = in_precision(group.device, group.precision)
            lines.append(f"{training.workload.name}{size} {place}: {reason}")
    return lines
