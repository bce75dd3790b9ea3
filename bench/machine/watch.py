"""Watches the machine during a job: other processes, the host of a virtual machine, the GPU."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from statistics import median

from bench.machine.device import DevicesWatch
from bench.machine.disturbance import Disturbance
from bench.worker.clock import minus, monotonic_seconds, own_cpu_seconds

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # the CPU time of others is then unknown


class Watch:
    """Watches the machine from a job's start to its end.

    Args:
        cpus: the numbers of the job's CPUs.
        gpus: the watch of its NVIDIA GPUs, or None; the caller samples it.
        waiting: the IDs of our other processes, which are alive and wait for turns.
    """

    def __init__(
        self, cpus: Sequence[int], gpus: DevicesWatch | None, waiting: Sequence[int] = ()
    ) -> None:
        self._cpus, self._gpus, self._waiting = list(cpus), gpus, list(waiting)
        self._began, self._own_seconds = monotonic_seconds(), _own_seconds(waiting)
        self._busy_seconds, self._steal_seconds = _busy_seconds(self._cpus)
        self._clocks: list[float] = []

    def sample(self) -> None:
        """Measure the CPU clocks."""
        clock = _clock(self._cpus)
        if clock:
            self._clocks.append(clock)

    def end(self, alive: Sequence[int] = ()) -> Disturbance:
        """The other load since the start of the watch.

        Args:
            alive: the IDs of the job's processes that have not ended. Those that have ended must
                have been waited for.
        """
        available = (monotonic_seconds() - self._began) * len(self._cpus)
        busy, steal = _busy_seconds(self._cpus)
        busy, steal = minus(busy, self._busy_seconds), minus(steal, self._steal_seconds)
        others = minus(busy, minus(_own_seconds([*self._waiting, *alive]), self._own_seconds))
        return Disturbance(
            other_cpu=None if others is None else max(0.0, others) / available,
            steal=None if steal is None else steal / available,
            frequency=median(self._clocks) / max(self._clocks) if self._clocks else None,
            gpu_processes=self._gpus.other_processes if self._gpus else None,
            gpu_throttled=self._gpus.throttled if self._gpus else None,
            gpu_clock=self._gpus.clock if self._gpus else None,
        )


def _own_seconds(alive: Sequence[int]) -> float | None:
    """CPU seconds of this process, its ended children, and the processes that are alive.

    None on Windows.
    """
    if resource is None:
        return None
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return own_cpu_seconds() + ended.ru_utime + ended.ru_stime + sum(map(_tree_seconds, alive))


def _tree_seconds(pid: int) -> float:
    """CPU seconds of a process and its helpers; 0 for those that have ended."""
    import psutil  # here, so that `bench --help` stays fast

    seconds = 0.0
    with contextlib.suppress(psutil.Error):
        for process in (root := psutil.Process(pid), *root.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                times = process.cpu_times()
                seconds += times.user + times.system + times.children_user + times.children_system
    return seconds


def _busy_seconds(cpus: Sequence[int]) -> tuple[float | None, float | None]:
    """Busy and stolen CPU seconds of these CPUs since boot.

    Busy: processes of this machine used the CPUs. Stolen: the host gave the CPUs to other machines.
    Both are None if the system does not number its CPUs; stolen also if the system does not count
    it.
    """
    import psutil  # here, so that `bench --help` stays fast

    times = psutil.cpu_times(percpu=True)
    if not hasattr(os, "sched_getaffinity") or max(cpus) >= len(times):
        return None, None
    cpu_times = [times[number] for number in cpus]
    busy = sum(
        getattr(cpu, name, 0.0)
        for cpu in cpu_times
        for name in ("user", "nice", "system", "irq", "softirq")  # "user" includes "guest"
    )
    stolen = [getattr(cpu, "steal", None) for cpu in cpu_times]
    return busy, None if None in stolen else sum(filter(None, stolen))


def _clock(cpus: Sequence[int]) -> float | None:
    """The highest clock of these CPUs in MHz; None if unknown.

    The other clocks do not matter, as idle CPUs run slowly on purpose.
    """
    import psutil  # here, so that `bench --help` stays fast

    # Some systems do not report clocks.
    with contextlib.suppress(OSError, AttributeError, NotImplementedError):
        clocks = psutil.cpu_freq(percpu=True)
        job_clocks = (clocks[number].current for number in cpus if number < len(clocks))
        return max(job_clocks, default=None)
    return None
