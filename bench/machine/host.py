"""Describes the machine: its CPU, memory and GPUs, and how busy it was."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from msgspec import Struct

from bench.machine.nvml import Gpu, gpus


class Machine(Struct, frozen=True, kw_only=True, gc=False):
    """The description of a machine in a record.

    Attributes:
        system: the operating system and its release.
        cpu: the name of the processor.
        allowed_cpus: how many CPUs the scheduler allows this process.
    """

    name: str
    system: str
    cpu: str
    logical_cpus: int
    allowed_cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]


def this_machine(visible_gpus: str | None = None) -> Machine:
    """Describe the machine that this process runs on; for `visible_gpus` see `gpus`."""
    import psutil  # here, so that `bench --help` stays fast

    return Machine(
        name=platform.node() or "unnamed",
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu_name(),
        logical_cpus=psutil.cpu_count() or 1,
        allowed_cpus=len(allowed_cpus()),
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpus(visible_gpus),
    )


def allowed_cpus() -> list[int]:
    """The CPUs that the scheduler allows this process, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def gpu_of(machine: Machine, device: str) -> Gpu | None:
    """The NVIDIA GPU that a job's device names ("cuda:0"); None for any other device."""
    return next((gpu for gpu in machine.gpus if device == f"cuda:{gpu.index}"), None)


def gpu_kind(machine: Machine, device: str) -> tuple[object, ...]:
    """The model, memory, driver and partition of a device's GPU; () for other devices.

    Two GPUs of the same kind are interchangeable: a scheduler gives a job any of them.
    """
    gpu = gpu_of(machine, device)
    return (gpu.name, gpu.memory_bytes, gpu.driver, gpu.partition) if gpu else ()


def load_average() -> float | None:
    """The average number of processes that ran or waited during the last minute.

    None if the system does not report it.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
