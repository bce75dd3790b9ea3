"""Checks whether another process fits into the free memory of the machine and of a GPU."""

from __future__ import annotations

import contextlib
from pathlib import Path

from bench.machine.needs import Needs
from bench.machine.nvml import OpenGpu

_DEFAULT_MODE = 0  # NVML_COMPUTEMODE_DEFAULT
_SPARE = 1.25  # a job may need more than the earlier jobs of its group did
_GB = 1e9
# The files with the memory limit and use of a container or Slurm job (control groups, version 2).
_GROUP = Path("/sys/fs/cgroup")
_LIMIT, _USED, _FIGURES = (_GROUP / f"memory.{name}" for name in ("max", "current", "stat"))


def no_room(host_bytes: int, device_bytes: int, gpu: str | None) -> str:
    """Why a process does not fit beside the running ones; "" if it fits, or if that is unknown.

    Args:
        host_bytes: the memory that it needs.
        device_bytes: the GPU memory that it needs; 0 if unknown.
        gpu: the UUID of its NVIDIA GPU, or None.
    """
    free = _free_host_bytes()
    if host_bytes * _SPARE > free:
        return f"{_gib(host_bytes)} are needed for another process, and {_gib(free)} are free"
    return _no_room_on(gpu, device_bytes) if gpu else ""


def cannot_fit(needs: Needs, gpu: str | None) -> str:
    """Why a job cannot run with the memory that is free now; "" if it can, or if that is unknown.

    Args:
        needs: the memory that it needs at least.
        gpu: the UUID of its NVIDIA GPU, or None.
    """
    import psutil  # here, so that `bench --help` stays fast

    free = _free_host_bytes() + int(psutil.swap_memory().free)
    if needs.host > free:
        return _too_little(needs.host, free, "memory")
    memory = OpenGpu(gpu).ask("nvmlDeviceGetMemoryInfo") if gpu else None
    if memory is not None and needs.device > memory.free:
        return _too_little(needs.device, memory.free, "the GPU's memory")
    return ""


def _too_little(needed: int, free: int, what: str) -> str:
    return f"needs at least {needed / _GB:.3g} GB of {what}, {max(free, 0) / _GB:.3g} GB are free"


def _free_host_bytes() -> int:
    """The memory that is free for this process, in bytes."""
    import psutil  # here, so that `bench --help` stays fast

    free = int(psutil.virtual_memory().available)
    with contextlib.suppress(OSError, ValueError):  # "max" is no limit
        # Cached files count as used, but the system frees them when a process needs memory.
        figures = dict(line.split() for line in _FIGURES.read_text().splitlines())
        files = int(figures.get("active_file", 0)) + int(figures.get("inactive_file", 0))
        free = min(free, int(_LIMIT.read_text()) - int(_USED.read_text()) + files)
    return free


def _no_room_on(uuid: str, needed: int) -> str:
    """Why a GPU has no room for another process; "" if it has room, or if that is unknown."""
    gpu = OpenGpu(uuid)
    mode = gpu.ask_board("nvmlDeviceGetComputeMode")
    if mode is not None and mode != _DEFAULT_MODE:
        return "the GPU allows one process at a time (its compute mode is exclusive)"
    memory = gpu.ask("nvmlDeviceGetMemoryInfo")
    if memory is not None and needed * _SPARE > memory.free:
        return f"{_gib(needed)} of GPU memory are needed, and {_gib(memory.free)} are free"
    return ""


def _gib(size: int) -> str:
    return f"{size / 2**30:.1f} GiB"
