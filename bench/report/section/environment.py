"""Makes the section on the machines, versions and settings of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from bench.machine.gpu_state import GpuState
from bench.machine.host import Machine, gpu_of
from bench.machine.nvml import Gpu
from bench.records.job import Record, backend_name
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Items, Table, Text, without_empty
from bench.report.run import Run
from bench.worker.clock import Phase

MACHINE_COLUMNS = ("machine", "system", "processor", "CPUs allowed", "memory", "GPUs")

_HOW_GPU = (
    "Read from the driver during the jobs. Clocks: the median under load, and the highest of the"
    " model. A GPU at its power limit lowers its clock; this is normal. A slice of a GPU has the"
    " clocks and the power of its board."
)
_LONG_UUID = 12  # characters of a UUID; they distinguish the GPUs of a machine


def section(run: Run) -> list[Block]:
    """Tables of machines, of GPUs, of versions and settings; and the files that are left out."""
    machines = dict.fromkeys(record.machine for record in run.records)
    blocks: list[Block] = [
        Table(MACHINE_COLUMNS, tuple(dict.fromkeys(map(machine_cells, machines)))),
        *gpu_blocks(run.records),
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
        machine.cpus.replace(" CPUs", ""),
        f"{machine.memory_bytes / 1e9:.0f} GB",
        ", ".join(f"{gpu.device}: {gpu.name} (driver {gpu.driver})" for gpu in machine.gpus)
        or "none",
    )


def transports(records: Sequence[Record]) -> list[Block]:
    """A sentence per backend whose worker calls the framework in another process.

    It says how long passing calls and arrays took while epochs trained. No figure includes this
    time.
    """
    phases: dict[str, list[Phase]] = {}
    for record in records:
        trained = [epoch.training for epoch in record.epochs]
        if any(phase.transport_seconds is not None for phase in trained):
            phases.setdefault(record.job.backend, []).extend(trained)
    return [
        Text(
            f"`{backend}` trains in another process. All its epochs took"
            f" {words.seconds(sum(phase.wall_seconds for phase in epochs))} there. Sending calls"
            " and arrays took"
            f" {words.seconds(sum(phase.transport_seconds or 0.0 for phase in epochs))} more; no"
            " figure includes this time."
        )
        for backend, epochs in phases.items()
    ]


def _dropped(records: Sequence[Record]) -> list[Block]:
    """A sentence on the user's variables that workers did not receive."""
    names = sorted({name for record in records for name in record.dropped})
    if not names:
        return []
    return [
        Text(
            "These environment variables were not passed to the frameworks, because they change"
            f" what is measured: {', '.join(f'`{name}`' for name in names)}. To pass one:"
            " `--variable NAME=VALUE`."
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


def gpu_blocks(records: Sequence[Record]) -> list[Block]:
    """A table with a row per GPU; nothing without GPUs."""
    states: dict[tuple[str, Gpu], list[GpuState]] = {}
    for record in records:
        gpu = gpu_of(record.machine, record.job.device)
        if gpu is not None:
            of_gpu = states.setdefault((record.machine.name, gpu), [])
            of_gpu += [record.gpu] if record.gpu else []
    if not states:
        return []
    rows = [_gpu_cells(machine, gpu, gpu_states) for (machine, gpu), gpu_states in states.items()]
    table = Table(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))
    return [without_empty(table), Folded("How the state of a GPU is measured", [Text(_HOW_GPU)])]


def _gpu_cells(machine: str, gpu: Gpu, states: Sequence[GpuState]) -> dict[str, str]:
    def of_all(field: str, combine: Callable[[Iterable[Any]], Any] = max) -> Any:
        """The values of all jobs combined; None if no job has a value."""
        values = [getattr(state, field) for state in states]
        present = [value for value in values if value is not None]
        return combine(present) if present else None

    limited, persistent = of_all("power_limited", median), of_all("persistent", min)
    reasons = dict.fromkeys(reason for state in states for reason in state.reasons)
    return {
        "machine": machine,
        "GPU": f"{gpu.device}: {gpu.name}",
        "UUID": gpu.uuid[:_LONG_UUID],
        "memory": words.gigabytes(gpu.memory_bytes),
        "compute capability": gpu.compute_capability or words.ABSENT,
        "driver": " ".join(filter(None, (gpu.driver, _cuda(of_all("cuda"))))) or words.ABSENT,
        "power limit": words.watts(of_all("power_limit_watts", min)),
        "at its power limit": words.ABSENT if limited is None else f"{100 * limited:.0f} %",
        "clock": _clock(of_all("sm_mhz", median), of_all("most_sm_mhz")),
        "memory clock": _clock(of_all("memory_mhz", median), of_all("most_memory_mhz")),
        "lowered by": ", ".join(reasons) or words.ABSENT,
        "hottest": _with_unit(of_all("temperature_celsius"), "°C"),
        "ECC errors": _memory_errors(of_all("ecc", min), of_all),
        "remapped rows": _with_unit(of_all("remapped_rows"), ""),
        "link": _link(of_all("pcie_generation"), of_all("pcie_width"), of_all("nvlinks", min)),
        "modes": ", ".join(
            filter(None, (of_all("compute_mode"), {True: "persistent"}.get(persistent)))
        )
        or words.ABSENT,
    }


def _cuda(version: str | None) -> str:
    return f"(CUDA {version})" if version else ""


def _clock(under_load: float | None, most: int | None) -> str:
    if under_load is None:
        return words.ABSENT
    return f"{under_load:.0f}" + ("" if most is None else f" of {most}") + " MHz"


def _with_unit(value: int | None, unit: str) -> str:
    return words.ABSENT if value is None else f"{value} {unit}".strip()


def _memory_errors(ecc: bool | None, of_all: Callable[[str], Any]) -> str:  # noqa: FBT001 - a driver's
    if not ecc:
        return words.ABSENT if ecc is None else "ECC is off"
    counts = of_all("uncorrected_errors"), of_all("corrected_errors")
    return ", ".join(
        f"{count} {kind}"
        for count, kind in zip(counts, ("uncorrected", "corrected"), strict=True)
        if count is not None
    )


def _link(generation: int | None, width: int | None, nvlinks: int | None) -> str:
    pcie = f"PCIe {generation}" + ("" if width is None else f" x{width}")
    links = [] if generation is None else [pcie]
    links += [] if nvlinks is None else [f"{nvlinks} NVLink" + ("" if nvlinks == 1 else "s")]
    return ", ".join(links) or words.ABSENT
