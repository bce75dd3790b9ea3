"""What else the machine did while a job ran, as the idle parent sees it; and when that is too much.

The rule was fixed without looking at anyone's times, and reads none: leaving out what came out slow would only make
everybody look fast. It cannot see all. A neighbour on the same host who takes memory bandwidth or the other half of a
core shows nowhere; that is noise, and what `bench calibrate` measures.

A repetition (a round's processes of one seed) in which any job was disturbed does not count, and is repeated; but where
most of the first ten are disturbed, that is how this machine is, and all count. Which it is does not change afterwards,
so that no interval is looked at in two ways, and before ten there is no verdict.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from statistics import median
from typing import Any

from msgspec import Struct

from bench.measure import cpu_seconds, monotonic_seconds
from bench.nvml import open_gpu

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]  # there the CPU time of others is not counted

# Shares of the job's CPUs; an idle system's own services take less than one hundredth.
_MOST_OTHERS = 0.10
_MOST_STEAL = 0.03
# Clocks rise and fall by some percent all the time; below this they were throttled, by heat or a governor.
_LEAST_FREQUENCY = 0.75
_FIRST = 10  # repetitions; no verdict takes fewer than eleven
# NVML's reasons: hardware slowdown, software thermal slowdown, hardware thermal slowdown, power brake.
_THROTTLING = 0x8 | 0x20 | 0x40 | 0x80


class Disturbance(Struct, frozen=True, kw_only=True):
    """What a job shared its machine with. None: it was not seen, or cannot be on this machine.

    Attributes:
        other_cpu: share of the job's CPUs (0..1) that other processes used, from the worker's start to its end.
        steal: the same share that a virtual machine's host gave to others.
        frequency: the clock of the job's fastest CPU, the median of its samples by the highest.
        gpu_processes: the most processes at once on the job's GPU besides its own.
        gpu_throttled: whether that GPU was slowed down by heat or for lack of power.
    """

    other_cpu: float | None
    steal: float | None
    frequency: float | None
    gpu_processes: int | None
    gpu_throttled: bool | None


def say(found: Disturbance) -> str:
    """Why a job counts as disturbed, in words; "" if it does not."""
    reasons = []
    if found.other_cpu is not None and found.other_cpu > _MOST_OTHERS:
        reasons.append(f"other processes used {100 * found.other_cpu:.0f} % of its CPUs")
    if found.steal is not None and found.steal > _MOST_STEAL:
        reasons.append(f"the host took {100 * found.steal:.0f} % of its CPUs")
    if found.frequency is not None and found.frequency < _LEAST_FREQUENCY:
        reasons.append(f"its CPUs' clock fell to {100 * found.frequency:.0f} %")
    if found.gpu_processes:
        reasons.append(f"{found.gpu_processes} other on its GPU")
    if found.gpu_throttled:
        reasons.append("its GPU was throttled")
    return ", ".join(reasons)


def which_count(disturbed: Sequence[bool]) -> list[bool]:
    """Which repetitions count, of those made so far in their order, given which were disturbed."""
    first = disturbed[:_FIRST]
    usual = 2 * sum(first) > len(first)
    return [usual or not one for one in disturbed]


class Watch:
    """Looks at the machine from a job's start to its end.

    Args:
        cpus: the job's, by number.
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
        """Sample what has no counter: clocks, and who is on the GPU."""
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
        """To be called once the job's processes have ended, so that their CPU time is known to be ours."""
        available = (monotonic_seconds() - self._began) * len(self._cpus)
        busy, steal = _busy_seconds(self._cpus)
        own = _own_seconds()
        others = None
        if busy is not None and self._busy is not None and own is not None and self._own is not None:
            others = max(0.0, (busy - self._busy) - (own - self._own)) / available
        taken = None if steal is None or self._steal is None else (steal - self._steal) / available
        return Disturbance(
            other_cpu=others,
            steal=taken,
            frequency=median(self._clocks) / max(self._clocks) if self._clocks else None,
            gpu_processes=None if self._processes is None else max(0, self._processes - 1),  # one is the job's own
            gpu_throttled=self._throttled,
        )


def _own_seconds() -> float | None:
    """CPU time of this process and of those of its children that have ended."""
    if resource is None:
        return None
    ended = resource.getrusage(resource.RUSAGE_CHILDREN)
    return cpu_seconds() + ended.ru_utime + ended.ru_stime


def _busy_seconds(cpus: Sequence[int]) -> tuple[float | None, float | None]:
    """Since boot, of these CPUs: seconds that any process used them, and seconds that the host gave to others."""
    import psutil  # see machine.this_machine

    times = psutil.cpu_times(percpu=True)
    if not hasattr(os, "sched_getaffinity") or max(cpus) >= len(times):  # they cannot be told apart
        return None, None
    chosen = [times[number] for number in cpus]
    # Guests' time is counted in user's already.
    used = sum(getattr(one, name, 0.0) for one in chosen for name in ("user", "nice", "system", "irq", "softirq"))
    stolen = [getattr(one, "steal", None) for one in chosen]
    return used, None if None in stolen else sum(filter(None, stolen))


def _clock(cpus: Sequence[int]) -> float | None:
    """The highest clock of these CPUs, in MHz: those that idle are slow on purpose."""
    import psutil  # see machine.this_machine

    with contextlib.suppress(OSError, AttributeError, NotImplementedError):  # not every system tells
        clocks = psutil.cpu_freq(percpu=True)
        return max((clocks[number].current for number in cpus if number < len(clocks)), default=None)
    return None


def _ask(nvml: Any, gpu: Any, name: str) -> Any:
    """What NVML says of a GPU; None where it does not, as in a container, or knows no such question."""
    try:
        return getattr(nvml, name)(gpu)
    except (nvml.NVMLError, AttributeError):
        return None
