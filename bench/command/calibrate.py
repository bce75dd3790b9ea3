"""`bench calibrate`: runs a backend against itself, to learn how noisy this machine is."""

from __future__ import annotations

import argparse
import os

from rich import box
from rich.console import Console
from rich.table import Table

from bench.command.choices import choose_backends, choose_devices, choose_threads, places_of
from bench.command.progress import ProgressDisplay
from bench.data import cache, dataset
from bench.machine.host import Machine, this_machine
from bench.records.job import Record
from bench.records.noise import FOLDER, Calibration, write_calibration
from bench.records.run import claim_run, read_run
from bench.runner import plan
from bench.runner.environments import Environments
from bench.runner.jobs import make_tasks, run_tasks
from bench.runner.task import Limits
from bench.statistics.noise import calibrate, needed, say, say_visible
from specs.loading import find_workload

_PREFERRED = "pytorch"  # starts fast, and no compiler changes its times
_ROUNDS = (11, 20, 40, 80)  # for each of them the smallest visible difference is printed


def command(options: argparse.Namespace) -> int:
    """`bench calibrate`: run the rounds that have no records yet, and show what all rounds say.

    1 if a job did not end ok.
    """
    environments = Environments(dict(options.python))
    machine = this_machine(os.environ.get("CUDA_VISIBLE_DEVICES"))
    training, chosen = _chosen(options, environments, machine)
    folder = options.results / FOLDER
    with claim_run(folder, machine.name):
        records = _run(options, training, chosen, environments, machine)
        found = calibrate(read_run(folder)[0])
        for made in found:
            write_calibration(made, folder)
    asked = {made.key for made in calibrate(records)}
    for made in found:
        if made.key in asked:
            _show(made, Console())
    return 0 if all(record.status == "ok" for record in records) else 1


def _chosen(
    options: argparse.Namespace, environments: Environments, machine: Machine
) -> tuple[plan.Training, plan.Options]:
    """The workload with its data set, and where it is run; with one backend if none was chosen."""
    backends = choose_backends(options.backend, environments)
    if options.backend is None:
        backends = (_PREFERRED if _PREFERRED in backends else backends[0],)
    workload = find_workload(options.workload)
    name = options.dataset or dataset.FALLBACK
    images = cache.materialise(name, workload.input, places_of(options))
    chosen = plan.Options(
        backends=backends,
        devices=choose_devices(options.device, machine),
        threads=choose_threads(options.threads),
        seeds=(0,),
        rounds=2 * options.rounds,  # of a single contestant: two in a row are a round of two
        modes=options.mode,
    )
    return plan.Training(workload=workload, data=images, epochs=options.epochs), chosen


def _run(
    options: argparse.Namespace,
    training: plan.Training,
    chosen: plan.Options,
    environments: Environments,
    machine: Machine,
) -> list[Record]:
    """Run the jobs that have no record yet, pair by pair; every record, old and new."""
    suite = plan.find_suite_or_workload(training.workload.name)
    jobs = plan.make_jobs([training], chosen, suite)
    jobs.sort(key=lambda pair: (pair[0].device, pair[0].round // 2, pair[0].backend, pair[0].mode))
    # Accuracy does not matter here, so a single training example is evaluated.
    limits = Limits(timeout_seconds=options.timeout, train_evaluated=1)
    tasks = make_tasks(jobs, environments, machine, limits)
    folder = options.results / FOLDER
    with ProgressDisplay(Console(stderr=True), machine.name) as display:
        display.planned(tasks)
        return run_tasks(tasks, folder, machine, limits, display, retry=options.retry)


def _show(found: Calibration, console: Console) -> None:
    console.print(f"\n{say(found, len(found.wall))}", highlight=False, markup=False)
    if found.disturbed:
        console.print(
            f"{found.disturbed} of {len(found.wall)} rounds were disturbed, and count here.",
            highlight=False,
        )
    table = Table(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
    for title in ("to find a difference of", "rounds, by wall time", "by CPU time"):
        table.add_column(title, justify="right")
    for difference, wall, cpu in needed(found):
        table.add_row(
            f"{100 * difference:g} %",
            *("more than 200" if n is None else str(n) for n in (wall, cpu)),
        )
    console.print(table)
    for rounds in _ROUNDS:
        console.print(say_visible(found, rounds), highlight=False, markup=False)
