"""What a record needs to be comparable: the machine, its CPU and GPUs, and how busy it was."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from msgspec import Struct


class Gpu(Struct, frozen=True, kw_only=True):
    """One NVIDIA GPU as the driver numbers it."""

    index: int
    uuid: str
    name: str
    memory_bytes: int
    driver: str


class Machine(Struct, frozen=True, kw_only=True):
    """A machine: its name, system, processor, the CPUs that the scheduler allows this process, memory and GPUs."""

    name: str
    system: str
    cpu: str
    logical_cpus: int
    allowed_cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]


class Load(Struct, frozen=True, kw_only=True):
    """How busy the machine was when a job began or ended; `steal_seconds` is since boot, None where not counted."""

    load_average: float | None
    steal_seconds: float | None


def this_machine() -> Machine:
    """Describe the machine that this process runs on."""
    import psutil  # a worker's environment has no psutil, and imports this file for its records

    return Machine(
        name=platform.node() or "unnamed",
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu_name(),
        logical_cpus=psutil.cpu_count() or 1,
        allowed_cpus=len(allowed_cpus()),
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpus(),
    )


def allowed_cpus() -> list[int]:
    """The CPUs that the scheduler allows this process, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def gpus() -> tuple[Gpu, ...]:
    """Every NVIDIA GPU, as the driver's own library lists them; none without a driver."""
    try:
        import pynvml  # only the parent has it
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        driver = pynvml.nvmlSystemGetDriverVersion()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(index) for index in range(pynvml.nvmlDeviceGetCount())]
        return tuple(
            Gpu(
                index=index,
                uuid=pynvml.nvmlDeviceGetUUID(handle),
                name=pynvml.nvmlDeviceGetName(handle),
                memory_bytes=pynvml.nvmlDeviceGetMemoryInfo(handle).total,
                driver=driver,
            )
            for index, handle in enumerate(handles)
        )
    except pynvml.NVMLError:
        return ()


def load() -> Load:
    """How busy the machine is now."""
    import psutil  # see this_machine

    average = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    return Load(load_average=average, steal_seconds=getattr(psutil.cpu_times(), "steal", None))


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
