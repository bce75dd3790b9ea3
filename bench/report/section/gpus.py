"""Makes the table of the GPUs that jobs ran on, and of their state while they worked."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from statistics import median
from typing import Any

from bench.machine.gpu_state import GpuState
from bench.machine.host import gpu_of
from bench.machine.nvml import Gpu
from bench.records.job import Record
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Table, Text, without_empty
from bench.report.form.words import ABSENT

_HOW = (
    "By the driver, sampled during the jobs. Clocks are under load: the median, and the highest of"
    " the model. A GPU at its power limit lowers its clock, which is usual and no disturbance. A"
    " slice of a GPU has the clocks and the power of its board."
)
_LONG = 12  # a UUID's beginning, which tells the GPUs of a machine apart


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
    rows = [_cells(machine, gpu, found) for (machine, gpu), found in states.items()]
    table = Table(tuple(rows[0]), tuple(tuple(row.values()) for row in rows))
    return [without_empty(table), Folded("How the state of a GPU is measured", [Text(_HOW)])]


def _cells(machine: str, gpu: Gpu, states: Sequence[GpuState]) -> dict[str, str]:
    def of_all(field: str, combine: Callable[[Iterable[Any]], Any] = max) -> Any:
        """The values of all jobs as one; None if no job knows it."""
        values = [getattr(state, field) for state in states]
        known = [value for value in values if value is not None]
        return combine(known) if known else None

    limited, persistent = of_all("power_limited", median), of_all("persistent", min)
    reasons = dict.fromkeys(reason for state in states for reason in state.reasons)
    return {
        "machine": machine,
        "GPU": f"{gpu.device}: {gpu.name}",
        "UUID": gpu.uuid[:_LONG],
        "memory": words.gigabytes(gpu.memory_bytes),
        "compute capability": gpu.compute_capability or ABSENT,
        "driver": " ".join(filter(None, (gpu.driver, _cuda(of_all("cuda"))))) or ABSENT,
        "power limit": words.watts(of_all("power_limit_watts", min)),
        "at its power limit": ABSENT if limited is None else f"{100 * limited:.0f} %",
        "clock": _clock(of_all("sm_mhz", median), of_all("most_sm_mhz")),
        "memory clock": _clock(of_all("memory_mhz", median), of_all("most_memory_mhz")),
        "lowered by": ", ".join(reasons) or ABSENT,
        "hottest": _with_unit(of_all("temperature_celsius"), "°C"),
        "ECC errors": _errors(of_all("ecc", min), of_all),
        "remapped rows": _with_unit(of_all("remapped_rows"), ""),
        "link": _link(of_all("pcie_generation"), of_all("pcie_width")),
        "modes": ", ".join(
            filter(None, (of_all("compute_mode"), {True: "persistent"}.get(persistent)))
        )
        or ABSENT,
    }


def _cuda(version: str | None) -> str:
    return f"(CUDA {version})" if version else ""


def _clock(under_load: float | None, most: int | None) -> str:
    if under_load is None:
        return ABSENT
    return f"{under_load:.0f}" + ("" if most is None else f" of {most}") + " MHz"


def _with_unit(value: int | None, unit: str) -> str:
    return ABSENT if value is None else f"{value} {unit}".strip()


def _errors(ecc: bool | None, of_all: Callable[[str], Any]) -> str:  # noqa: FBT001 - a driver's
    if not ecc:
        return ABSENT if ecc is None else "ECC is off"
    counts = of_all("uncorrected_errors"), of_all("corrected_errors")
    return ", ".join(
        f"{count} {kind}"
        for count, kind in zip(counts, ("uncorrected", "corrected"), strict=True)
        if count is not None
    )


def _link(generation: int | None, width: int | None) -> str:
    if generation is None:
        return ABSENT
    return f"PCIe {generation}" + ("" if width is None else f" x{width}")
