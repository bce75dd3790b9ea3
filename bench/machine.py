"""What a record needs to be comparable: the machine, its CPU and GPUs, and how busy it was."""

from __future__ import annotations

import os
import platform
from pathlib import Path
from types import ModuleType

from msgspec import Struct


class Gpu(Struct, frozen=True, kw_only=True, gc=False):
    """One NVIDIA GPU as the driver numbers it."""

    index: int
    uuid: str
    name: str
    memory_bytes: int | None
    driver: str


class Machine(Struct, frozen=True, kw_only=True, gc=False):
    """A machine: its name, system, processor, the CPUs that the scheduler allows this process, memory and GPUs."""

    name: str
    system: str
    cpu: str
    logical_cpus: int
    allowed_cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]


def this_machine(visible_gpus: str | None = None) -> Machine:
    """Describe the machine that this process runs on; for `visible_gpus` see `gpus`."""
    import psutil  # a worker's environment has no psutil, and imports this file for its records

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


def gpus(visible: str | None) -> tuple[Gpu, ...]:
    """Every NVIDIA GPU that we may use, as the driver's own library lists them; none without a driver.

    Args:
        visible: the value of CUDA_VISIBLE_DEVICES, by which a scheduler or a user keeps us off other GPUs: indices or
            (beginnings of) UUIDs; None allows all. Partitions of a GPU (MIG) are not known here.
    """
    try:
        import pynvml  # only the parent has it
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return ()
    found = []
    for index in range(count):
        try:
            gpu = _gpu(pynvml, index)
        except pynvml.NVMLError:  # counted, and not ours to use
            continue
        words = None if visible is None else [word.strip() for word in visible.split(",") if word.strip()]
        if words is None or any(word == str(index) or gpu.uuid.startswith(word) for word in words):
            found.append(gpu)
    return tuple(found)


def _gpu(pynvml: ModuleType, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    try:
        memory_bytes = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    except pynvml.NVMLError:  # as where CPU and GPU share their memory
        memory_bytes = None
    return Gpu(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        memory_bytes=memory_bytes,
        driver=pynvml.nvmlSystemGetDriverVersion(),
    )


def gpu_of(machine: Machine, device: str) -> Gpu | None:
    """The NVIDIA GPU that a job's device names ("cuda:0"); None for any other device."""
    return next((gpu for gpu in machine.gpus if device == f"cuda:{gpu.index}"), None)


def load_average() -> float | None:
    """How many processes ran or waited, over the last minute; None where the system does not count it."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
