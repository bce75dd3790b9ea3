"""`bench calibrate`: a backend raced against itself, which says what this machine can tell apart."""

from __future__ import annotations

import argparse
import os

from rich import box
from rich.console import Console
from rich.table import Table

from bench.command.choices import choose_backends, choose_devices, choose_threads, places_of
from bench.command.progress import ProgressDisplay
from bench.data import cache, dataset
from bench.machine.host import this_machine
from bench.records.noise import FOLDER, Calibration, write_calibration
from bench.records.run import claim_run, read_run
from bench.runner import plan
from bench.runner.environments import Environments
from bench.runner.jobs import make_tasks, run_tasks
from bench.runner.task import Limits
from bench.statistics.noise import calibrate, needed, say, say_visible
from specs.loading import find_workload

_PREFERRED = "pytorch"  # starts fast, and has no compiler of its own whims
_ROUNDS = (11, 20, 40, 80)  # for which is said what they can see


def command(options: argparse.Namespace) -> int:
    """`bench calibrate`: run the rounds that have no records yet, and show what all say. 1 if a job did not end ok."""
    environments, machine = (
        Environments(dict(options.python)),
        this_machine(os.environ.get("CUDA_VISIBLE_DEVICES")),
    )
    backends = choose_backends(options.backend, environments)
    if options.backend is None:
        backends = (_PREFERRED if _PREFERRED in backends else backends[0],)
    workload = find_workload(options.workload)
    images = cache.materialise(
        options.dataset or dataset.FALLBACK, workload.input, places_of(options)
    )
    chosen = plan.Options(
        backends=backends,
        devices=choose_devices(options.device, machine),
        threads=choose_threads(options.threads),
        seeds=(0,),
        rounds=2 * options.rounds,  # of a single contestant: two in a row are a round of two
        modes=options.mode,
    )
    contest = plan.Contest(workload=workload, data=images, epochs=options.epochs)
    limits = Limits(
        timeout_seconds=options.timeout, train_evaluated=1
    )  # accuracy is no matter here
    folder = options.results / FOLDER
    with claim_run(folder, machine.name):
        jobs = plan.make_jobs([contest], chosen, plan.find_suite_or_workload(workload.name))
        jobs.sort(
            key=lambda pair: (pair[0].device, pair[0].round // 2, pair[0].backend, pair[0].mode)
        )
        tasks = make_tasks(jobs, environments, machine, limits)
        with ProgressDisplay(Console(stderr=True)) as display:
            display.planned(tasks)
            records = run_tasks(tasks, folder, machine, limits, display, retry=options.retry)
        found = calibrate(read_run(folder)[0])
        for made in found:
            write_calibration(made, folder)
    asked = {made.key for made in calibrate(records)}
    for made in found:
        if made.key in asked:
            _show(made, Console())
    return 0 if all(record.status == "ok" for record in records) else 1


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
