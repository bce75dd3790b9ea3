"""`bench verify`: verifies every backend, each in its own process, and prints the result."""

from __future__ import annotations

import argparse

from backends.registry import entry, refusal
from bench.command.progress import ProgressDisplay, expected_seconds, in_minutes
from bench.command.setup import Setup, set_up
from bench.records.run import claim
from bench.records.verification import FOLDER, read_verifications
from bench.report.terminal.plain import plain_console
from bench.report.terminal.verifications import print_verifications
from bench.runner.tasks import run_tasks
from bench.runner.verification import VerificationTask, make_record, make_task
from bench.worker.assignment import Size
from bench.worker.verification.models import DENSE, MODELS
from specs.errors import UserError
from specs.loading import find_workload


def verify(options: argparse.Namespace) -> int:
    """`bench verify`: verify every backend on every device, and keep the records.

    A verification that was made before, of the same versions and code, is not made again. 1 if one
    is not verified.
    """
    setup = set_up(options)
    folder = options.results / FOLDER
    tasks = _tasks(options, setup)
    if not tasks:
        raise UserError(
            "none of these backends has a native mode", hint="bench defaults says which and why"
        )
    earlier, _ = read_verifications([folder])
    reused = {record.key: record for record in earlier if record.verdict == "verified"}
    missing = [task for task in tasks if task.key not in reused]
    minutes = in_minutes(expected_seconds(missing))
    setup.console.print(
        f"{len(tasks)} verifications, {len(tasks) - len(missing)} of them done; {minutes}, into"
        f" {folder}; Ctrl-C is safe: the same command resumes"
    )
    for backend in dict.fromkeys(task.job.backend for task in tasks if not options.workload):
        if left_out := _left_out(backend):
            setup.console.print(left_out)
    with (
        claim(folder, setup.machine.name),
        ProgressDisplay(setup.console, setup.machine.name) as display,
    ):
        display.planned(tasks)
        records = run_tasks(
            tasks,
            folder,
            setup.machine,
            make_record,
            timeout=options.timeout,
            observer=display,
            reused=reused,
        )
    print_verifications(records, plain_console())
    return 0 if all(record.verdict == "verified" for record in records) else 1


def _left_out(backend: str) -> str:
    """Which models a backend is not verified on, and why; "" if there are none."""
    reasons = [reason for model in MODELS.values() if (reason := refusal(backend, model))]
    if not reasons:
        return ""
    return (
        f"{backend}: {len(reasons)} of {len(MODELS)} models are left out, e.g. {reasons[0]};"
        f" {len(DENSE)} of dense layers are added"
    )


def _tasks(options: argparse.Namespace, setup: Setup) -> list[VerificationTask]:
    """A task per backend, device and mode; with `--workload` one per workload as well."""
    choices = setup.choices
    place = setup.environments, setup.machine, setup.places
    workloads = [find_workload(name) for name in options.workload or ()]
    sizes_of: list[list[Size] | None] = [
        [
            Size(workload=workload, batch_size=size)
            for size in options.batch_size or (workload.recipe.batch_size,)
        ]
        for workload in workloads
    ]
    if not workloads and options.batch_size:
        raise UserError("--batch-size without --workload", hint="--workload cnn,mlp-relu")
    return [
        make_task(backend, mode, device, choices.threads, *place, sizes)
        for device in choices.devices
        for backend in choices.backends
        for mode in choices.modes
        if mode == "matched" or (entry(backend).native and not workloads)
        for sizes in sizes_of or [None]
    ]
