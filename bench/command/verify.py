"""`bench verify`: verifies every backend, each in its own process, and prints the result."""

from __future__ import annotations

import argparse

from backends.registry import entry
from bench.command.progress import ProgressDisplay
from bench.command.setup import set_up
from bench.records.run import claim
from bench.records.verification import FOLDER
from bench.report.terminal.plain import plain_console
from bench.report.terminal.verifications import print_verifications
from bench.runner.tasks import run_tasks
from bench.runner.verification import make_record, make_task
from specs.errors import UserError


def verify(options: argparse.Namespace) -> int:
    """`bench verify`: verify every backend on every device, and keep the records.

    Returns 1 if one is not verified.
    """
    setup = set_up(options)
    choices, machine = setup.choices, setup.machine
    tasks = [
        make_task(backend, mode, device, choices.threads, setup.environments, machine, setup.places)
        for device in choices.devices
        for backend in choices.backends
        for mode in choices.modes
        if mode == "matched" or entry(backend).native
    ]
    if not tasks:
        raise UserError(
            "none of these backends has a native mode",
            hint="bench defaults lists the backends without one, and why",
        )
    folder = options.results / FOLDER
    with (
        claim(folder, machine.name),
        ProgressDisplay(setup.console, machine.name) as display,
    ):
        display.planned(tasks)
        records = run_tasks(
            tasks, folder, machine, make_record, timeout=options.timeout, observer=display
        )
    print_verifications(records, plain_console())
    return 0 if all(record.verdict == "verified" for record in records) else 1
