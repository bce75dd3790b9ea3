"""Makes the section on the machines, versions and settings of a run."""

from __future__ import annotations

from collections.abc import Sequence

from bench.machine.host import Machine
from bench.records.job import Record, backend_name
from bench.report.form import words
from bench.report.form.blocks import Block, Items, Table, Text
from bench.report.run import Run
from bench.worker.clock import Phase

MACHINE_COLUMNS = ("machine", "system", "processor", "CPUs allowed", "memory", "GPUs")


def section(run: Run) -> list[Block]:
    """A table of machines, one of versions and settings, and the files that are left out."""
    machines = dict.fromkeys(record.machine for record in run.records)
    blocks: list[Block] = [
        Table(MACHINE_COLUMNS, tuple(dict.fromkeys(map(machine_cells, machines)))),
        _versions(run.made_with),
        *transports(run.records),
        *_dropped(run.records),
    ]
    if run.left_out:
        lines = words.first_of([f"{file.path.name}: {file.reason}" for file in run.left_out])
        blocks += [Text("Files that are left out:"), Items(tuple(lines))]
    return blocks


def machine_cells(machine: Machine) -> tuple[str, ...]:
    """The cells of a machine, in the order of `MACHINE_COLUMNS`."""
    return (
        machine.name,
        machine.system,
        machine.cpu,
        f"{machine.allowed_cpus} of {machine.logical_cpus}",
        f"{machine.memory_bytes / 1e9:.0f} GB",
        ", ".join(f"{gpu.index}: {gpu.name} (driver {gpu.driver})" for gpu in machine.gpus)
        or "none",
    )


def transports(records: Sequence[Record]) -> list[Block]:
    """A sentence on each backend whose framework has a Python of its own, which its worker calls.

    It says how long calls and arrays were on their way in the epochs' training. That time is in no
    figure.
    """
    phases: dict[str, list[Phase]] = {}
    for record in records:
        trained = [epoch.training for epoch in record.epochs]
        if any(phase.transport_seconds is not None for phase in trained):
            phases.setdefault(record.job.backend, []).extend(trained)
    return [
        Text(
            f"`{backend}` works in an old Python, beside the worker. All its epochs took"
            f" {words.seconds(sum(phase.wall_seconds for phase in found))} there. Passing them"
            " calls and arrays took"
            f" {words.seconds(sum(phase.transport_seconds or 0.0 for phase in found))} more, which"
            " no figure includes."
        )
        for backend, found in phases.items()
    ]


def _dropped(records: Sequence[Record]) -> list[Block]:
    """A sentence on the user's variables that workers did not get."""
    names = sorted({name for record in records for name in record.dropped})
    if not names:
        return []
    return [
        Text(
            "These environment variables were set and did not reach the frameworks, as they change"
            f" what is measured: {', '.join(f'`{name}`' for name in names)}. `--variable"
            " NAME=VALUE` gives one on purpose."
        )
    ]


def _versions(records: Sequence[Record]) -> Table:
    rows = {}
    for record in records:
        versions = ", ".join(f"{name} {version}" for name, version in record.made_with.items())
        settings = (
            ", ".join(f"{k} {v}" for k, v in record.startup.settings.items() if v is not None)
            if record.startup
            else "-"
        )
        backend = backend_name(record.job)
        rows[backend, record.job.device, versions] = (backend, versions, settings)
    return Table(("backend", "versions", "settings, by the framework"), tuple(rows.values()))
