"""Names requested combinations that ran nothing: a backend on a device, or a whole device."""

from __future__ import annotations

from collections.abc import Sequence

from backends.contract import kind_of
from backends.registry import BACKENDS, lack, refusal
from bench.records.job import Record, backend_name


def nothing_ran(
    records: Sequence[Record],
    backends: tuple[str, ...] | None,
    devices: tuple[str, ...] | None,
) -> list[str]:
    """A line for each device, or backend on a device, with only unsupported jobs.

    Documented gaps are reported only if the user asked for them: a framework without a layer trains
    other workloads, and a framework without code for GPUs trains on CPUs.

    Args:
        records: the records of all jobs of a run.
        backends: the backends that the user named; None for the default ones.
        devices: the devices that the user named; None for the default ones.
    """
    cells: dict[tuple[str, str], list[Record]] = {}
    for record in records:
        cells.setdefault((backend_name(record.job), record.job.device), []).append(record)
    gone = {
        cell: of_cell
        for cell, of_cell in cells.items()
        if all(record.status == "unsupported" for record in of_cell)
    }
    lines = [
        f"no job of {backend} ran on {device}: {_reasons(of_cell)}"
        for (backend, device), of_cell in gone.items()
        if not _is_documented(of_cell, is_named=backends is not None, on_named=devices is not None)
    ]
    if not lines and devices is not None:
        ran = {device for _, device in cells.keys() - gone.keys()}
        lines = [
            f"no job ran on {device}: {_reasons(of_device)}"
            for device in dict.fromkeys(device for _, device in cells)
            if device not in ran
            and (
                of_device := [
                    r for cell, of_cell in gone.items() if cell[1] == device for r in of_cell
                ]
            )
        ]
    return lines


def _is_documented(records: Sequence[Record], *, is_named: bool, on_named: bool) -> bool:
    """Whether a backend's jobs on a device are documented gaps that the user did not ask for.

    Args:
        records: the records of the jobs, all unsupported.
        is_named: whether the user named the backend.
        on_named: whether the user named the device.
    """
    job = records[0].job
    if job.backend not in BACKENDS:
        return False
    on_gpu = kind_of(job.device) not in ("cpu", "spark")
    if lack(job.backend, on_gpu=on_gpu, precision="float32") and not (is_named and on_named):
        return True
    return not is_named and (
        bool(lack(job.backend, on_gpu=False, precision=job.precision))
        or all(refusal(job.backend, record.job.workload) for record in records)
    )


def _reasons(records: Sequence[Record]) -> str:
    """The number of jobs, and why they were unsupported."""
    reasons = [*dict.fromkeys(record.reason for record in records)]
    more = f" (and {len(reasons) - 1} other reasons)" if len(reasons) > 1 else ""
    jobs = f"{len(records)} jobs" if len(records) > 1 else "1 job"
    return f"{jobs} unsupported: {reasons[0]}{more}"
