"""`bench verify`: verifies every backend, each in its own process, and prints the result."""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from backends.contract import kind_of, nodes_of
from backends.registry import entry, lack, refusal
from bench.command.progress import ProgressDisplay, expected_seconds, in_minutes
from bench.command.setup import Setup, set_up
from bench.records.run import claim
from bench.records.verification import FOLDER, read_verifications
from bench.report.terminal.plain import plain_console
from bench.report.terminal.verifications import print_verifications
from bench.runner.plan import can_share
from bench.runner.tasks import run_tasks
from bench.runner.verification import VerificationTask, make_record, make_task
from bench.worker.assignment import Size
from bench.worker.verification.models import DENSE, MODELS
from specs.errors import UserError
from specs.loading import find_workload


def verify(options: argparse.Namespace) -> int:
    """`bench verify`: verify every backend on every device, and keep the records.

    A verification of the same versions and code is not repeated. Returns 1 if a backend is not
    verified.
    """
    setup = set_up(options)
    folder = options.results / FOLDER
    tasks = _tasks(options, setup)
    left_out = _left_out(setup, options.workload or ())
    if not tasks and left_out:
        raise UserError(f"nothing to verify: {'; '.join(left_out)}")
    if not tasks:
        raise UserError("none of these backends has a native mode", hint="see why: bench defaults")
    earlier, _ = read_verifications([folder])
    reused = {record.key: record for record in earlier if record.verdict == "verified"}
    missing = [task for task in tasks if task.key not in reused]
    minutes = in_minutes(expected_seconds(missing))
    setup.console.print(
        f"{len(tasks)} verifications, {len(tasks) - len(missing)} of them done; {minutes}, into"
        f" {folder}; Ctrl-C is safe: the same command resumes"
    )
    for sentence in left_out:
        setup.console.print(sentence)
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


def _left_out(setup: Setup, workloads: Sequence[str]) -> list[str]:
    """One sentence per reason why models or workloads are not verified in matched mode."""
    if "matched" not in setup.choices.modes:
        return []
    choices = setup.choices
    lacks = [
        f"{backend} on {device} in {precision} is left out: {why}"
        for device in choices.devices
        for backend in choices.backends
        for precision in choices.precisions
        if (why := _lack(backend, device, precision))
    ]
    return lacks + [text for name in choices.backends for text in _left_out_of(name, workloads)]


def _lack(backend: str, device: str, precision: str) -> str:
    """Why there is nothing to verify; "" if there is something."""
    if not can_share(backend, "matched", device):
        return f"it does not train on several {'nodes' if nodes_of(device) > 1 else 'ranks'}"
    on_gpu = kind_of(device) not in ("cpu", "spark")
    return lack(backend, on_gpu=on_gpu, precision=precision)


def _left_out_of(backend: str, workloads: Sequence[str]) -> list[str]:
    """Which models or workloads a backend is not verified on, and why."""
    if workloads:
        reasons = {name: refusal(backend, find_workload(name)) for name in workloads}
        return [f"{backend}: {name} is left out: {why}" for name, why in reasons.items() if why]
    whys = [why for model in MODELS.values() if (why := refusal(backend, model))]
    if not whys:
        return []
    dense = sum(not refusal(backend, model) for model in DENSE.values())
    count = f"{len(whys)} of {len(MODELS)} models are left out, and {dense} dense models added"
    return [f"{backend}: {count}, e.g. {whys[0]}"]


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
        make_task(backend, mode, device, choices.threads, *place, sizes, precision)
        for device in choices.devices
        for precision in choices.precisions
        for backend in choices.backends
        for mode in choices.modes
        if not _lack(backend, device, precision)
        if mode == "matched" or (entry(backend).native and not workloads)
        for sizes in sizes_of or [None]
        if not (sizes and refusal(backend, sizes[0].workload))
    ]
