"""Describes the machine: its CPU, memory and GPUs, and how busy it was."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from pathlib import Path

from msgspec import Struct

from bench.machine.nvml import Gpu, cpus_near, gpus

WITHOUT_GPUS = {"CUDA_VISIBLE_DEVICES": ""}  # variables that hide all GPUs, for `this_machine`


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


def this_machine(variables: Mapping[str, str] | None = None) -> Machine:
    """Describe the machine that this process runs on; for `variables` see `gpus`.

    Raises:
        UserError: see `gpus`.
    """
    import psutil  # here, so that `bench --help` stays fast

    return Machine(
        name=platform.node() or "unnamed",
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu_name(),
        logical_cpus=psutil.cpu_count() or 1,
        allowed_cpus=len(allowed_cpus()),
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpus(variables),
    )


def allowed_cpus() -> list[int]:
    """The CPUs that the scheduler allows this process, by number."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def job_cpus(threads: int, gpu: Gpu | None) -> list[int]:
    """The CPUs of a job, by number: so many of the allowed ones; a GPU's own socket comes first.

    Args:
        threads: how many.
        gpu: of the job, or None.
    """
    allowed = allowed_cpus()
    near = set(cpus_near(gpu.uuid, max(allowed) + 1)) if gpu and threads < len(allowed) else set()
    return sorted(allowed, key=lambda cpu: cpu not in near)[:threads]


def gpu_of(machine: Machine, device: str) -> Gpu | None:
    """The NVIDIA GPU or slice that a job's device names ("cuda:0"); None for any other device."""
    return next((gpu for gpu in machine.gpus if device == gpu.device), None)


def gpu_kind(machine: Machine, device: str) -> tuple[object, ...]:
    """What two GPUs of the same kind have in common; () for devices that are no NVIDIA GPU.

    Two GPUs of the same kind are interchangeable: a scheduler gives a job any of them.
    """
    gpu = gpu_of(machine, device)
    if gpu is None:
        return ()
    return gpu.name, gpu.memory_bytes, gpu.driver, gpu.partition, gpu.compute_capability


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
