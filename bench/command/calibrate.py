"""`bench calibrate`: runs a backend against itself to measure the timing noise of this machine."""

from __future__ import annotations

import argparse

from msgspec.structs import replace
from rich.console import Console

from backends.contract import Job
from bench.command.progress import ProgressDisplay
from bench.command.setup import Setup, set_up
from bench.data import cache, dataset
from bench.records.job import Record
from bench.records.noise import FOLDER, Calibration
from bench.records.run import claim, read_run
from bench.records.stored import write
from bench.records.turns import read_turns
from bench.report.terminal.plain import plain_console, plain_table
from bench.runner import jobs, plan
from bench.runner.group import GroupRunner
from bench.runner.turns import Wanted
from bench.statistics.noise import calibrate, describe, describe_visible, rounds_by_difference
from specs.loading import find_workload

_PREFERRED = "pytorch"  # it starts fast, and no compiler changes its times
_ROUNDS = (11, 20, 40, 80)  # numbers of rounds whose smallest visible difference is printed


def command(options: argparse.Namespace) -> int:
    """`bench calibrate`: run the rounds that have no records yet, and print the result.

    Returns 1 if a job did not end ok.
    """
    setup = _with_one_backend(set_up(options), options)
    folder = options.results / FOLDER
    with claim(folder / "jobs", setup.machine.name):
        earlier, _ = read_run(folder)
        records = _run(options, setup, earlier)
        turns = read_turns(folder)[0]
        calibrations = calibrate(read_run(folder, [*earlier, *records])[0], turns)
        for calibration in calibrations:
            write(folder, calibration)
    keys_of_this_run = {calibration.key for calibration in calibrate(records, turns)}
    for calibration in calibrations:
        if calibration.key in keys_of_this_run:
            _show(calibration, plain_console())
    return 0 if all(record.status == "ok" for record in records) else 1


def _with_one_backend(setup: Setup, options: argparse.Namespace) -> Setup:
    """The setup with one seed, and with one backend if the user chose none."""
    choices = setup.choices
    if options.backend is None:
        backend = _PREFERRED if _PREFERRED in choices.backends else choices.backends[0]
        choices = replace(choices, backends=(backend,))
    # A round of a calibration is two jobs in a row of one backend.
    return setup._replace(choices=replace(choices, seeds=(0,), rounds=2 * options.rounds))


def _run(options: argparse.Namespace, setup: Setup, earlier: list[Record]) -> list[Record]:
    """Run the jobs that have no record yet, pair by pair; returns all records, old and new."""
    workload = find_workload(options.workload)
    images = cache.materialise(options.dataset or dataset.FALLBACK, workload.input, setup.places)
    training = plan.Training(workload=workload, data=images, epochs=options.epochs)
    suite = plan.find_suite_or_workload(options.workload)
    pairs = plan.make_jobs([training], setup.choices, suite)
    pairs.sort(key=lambda pair: _pair_of(pair[0]))
    # Accuracy does not matter here, so a single training example is evaluated.
    tasks = jobs.make_tasks(pairs, setup.environments, setup.machine, train_evaluated=1)
    folder = options.results / FOLDER
    with ProgressDisplay(setup.console, setup.machine.name) as display:
        display.planned(tasks)
        group = GroupRunner(
            folder=folder,
            machine=setup.machine,
            timeout=options.timeout,
            observer=display,
            reused={r.key: r for r in earlier if r.status == "ok" or not options.retry},
            wanted=Wanted(),
            taken={turns.key: turns for turns in read_turns(folder)[0]},
        )
        return [
            record
            for first, second in zip(tasks[::2], tasks[1::2], strict=True)
            for record in group.run([first, second])
        ]


def _pair_of(job: Job) -> tuple[str, str, int, str, str]:
    """The properties that both jobs of a pair share."""
    return job.device, job.precision, job.round // 2, job.backend, job.mode


def _show(calibration: Calibration, console: Console) -> None:
    rounds = len(calibration.wall)
    console.print(f"\n{describe(calibration, rounds)}")
    if calibration.disturbed:
        console.print(
            f"The machine was busy in {calibration.disturbed} of {rounds} rounds, which count."
        )
    titles = ("difference to detect", "rounds, by wall time", "by CPU time")
    table = plain_table(titles, no_wrap=False)
    for difference, wall, cpu in rounds_by_difference(calibration):
        table.add_row(
            f"{100 * difference:g} %",
            *("more than 200" if number is None else str(number) for number in (wall, cpu)),
        )
    console.print(table)
    for number in _ROUNDS:
        console.print(describe_visible(calibration, number))
