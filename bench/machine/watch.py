"""Watches the machine during a job: what other processes, the host and the GPU do."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from statistics import median
from typing import Any

from bench.machine.disturbance import Disturbance
from bench.machine.nvml import open_gpu
from bench.worker.clock import cpu_seconds, monotonic_seconds

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # there the CPU time of others is not counted
# Bits of NVML's throttle reasons: hardware slowdown, software thermal slowdown, hardware thermal
# slowdown, power brake.
_THROTTLING = 0x8 | 0x20 | 0x40 | 0x80


class Watch:
    """Watches the machine from a job's start to its end.

    Args:
        cpus: the numbers of the job's CPUs.
        gpu: the UUID of its NVIDIA GPU, or None.
    """

    def __init__(self, cpus: Sequence[int], gpu: str | None) -> None:
        self._cpus = list(cpus)
        self._nvml: Any
        self._gpu: Any
        self._nvml, self._gpu = open_gpu(gpu) if gpu else (None, None)
        self._began, self._own = monotonic_seconds(), _own_seconds()
        self._busy, self._steal = _busy_seconds(self._cpus)
        self._clocks: list[float] = []
        self._processes: int | None = None
        self._throttled: bool | None = None

    def look(self) -> None:
        """Take a sample of what has no counter: CPU clocks, GPU processes and GPU throttling."""
        clock = _clock(self._cpus)
        if clock:
            self._clocks.append(clock)
        if self._nvml is None:
            return
        processes = _ask(self._nvml, self._gpu, "nvmlDeviceGetComputeRunningProcesses")
        if processes is not None:
            self._processes = max(self._processes or 0, len(processes))
        reasons = _ask(self._nvml, self._gpu, "nvmlDeviceGetCurrentClocksThrottleReasons")
        if reasons is not None:
            self._throttled = bool(self._throttled or reasons & _THROTTLING)

    def end(self) -> Disturbance:
        """Return what was seen.

        It must be called after the job's processes have ended: only then their CPU time counts as
        ours, and not as that of other processes.
        """
        available = (monotonic_seconds() - self._began) * len(self._cpus)
        busy, steal = _busy_seconds(self._cpus)
        own = _own_seconds()
        others = None
        if (
            busy is not None
            and self._busy is not None
            and own is not None
            and self._own is not None
        ):
            others = max(0.0, (busy - self._busy) - (own - self._own)) / available
        taken = None if steal is None or self._steal is None else (steal - self._steal) / available
        return Disturbance(
            other_cpu=others,
            steal=taken,
            frequency=median(self._clocks) / max(self._clocks) if self._clocks else None,
            # One of the processes is the job's own.
            gpu_processes=None if self._processes is None else max(0, self._processes - 1),
            gpu_throttled=self._throttled,
        )


def _own_seconds() -> float | None:
    """CPU time of this process and of those of its children that have ended."""
    if resource is None:
        return None
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_seconds() + ended.ru_utime + ended.ru_stime


def _busy_seconds(cpus: Sequence[int]) -> tuple[float | None, float | None]:
    """Seconds since boot that processes used these CPUs, and that the host gave them to others.

    Both are None if the CPUs cannot be told apart; the second also if the system does not count it.
    """
    import psutil  # here, so that `bench --help` stays fast

    times = psutil.cpu_times(percpu=True)
    if not hasattr(os, "sched_getaffinity") or max(cpus) >= len(times):  # they cannot be told apart
        return None, None
    chosen = [times[number] for number in cpus]
    # "user" includes "guest".
    used = sum(
        getattr(one, name, 0.0)
        for one in chosen
        for name in ("user", "nice", "system", "irq", "softirq")
    )
    stolen = [getattr(one, "steal", None) for one in chosen]
    return used, None if None in stolen else sum(filter(None, stolen))


def _clock(cpus: Sequence[int]) -> float | None:
    """The highest clock of these CPUs in MHz; None if unknown.

    The highest, as idle CPUs run slowly on purpose.
    """
    import psutil  # here, so that `bench --help` stays fast

    # Not every system tells the clocks.
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        clocks = psutil.cpu_freq(percpu=True)
        known = (clocks[number].current for number in cpus if number < len(clocks))
        return max(known, default=None)
    return None


def _ask(nvml: Any, gpu: Any, name: str) -> Any:
    """What a function of NVML says of a GPU.

    None if NVML gives no answer, as in a container, or has no function of that name.
    """
    try:
        return getattr(nvml, name)(gpu)
    except (nvml.NVMLError, AttributeError):
        return None
