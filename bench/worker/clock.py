"""The only module that reads a clock.

A phase is measured as `sync; start; work; sync; stop`. Records keep the raw values of each phase.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TypeVar

from msgspec import Struct

from bench.worker import energy, memory

_T = TypeVar("_T")

_LOOK_SECONDS, _LONGEST_REST = 0.02, 0.4
_RESTING = 0.1  # of a core; a process that uses less is at rest


class Phase(Struct, frozen=True, kw_only=True, gc=False):
    """One measured piece of work.

    Attributes:
        name: "import", "build", "load", "train", "predict" or "inputs"; for an engine's limits the
            name of the operation.
        wall_seconds: elapsed time, without `transport_seconds`.
        cpu_seconds: CPU time of all threads of the process, user and system, and of the
            framework's other processes, if it has any; None if unknown.
        peak_rss_bytes: the kernel's high-water mark of resident memory during the phase; with other
            processes the sum of their marks. None if unavailable.
        energy_joules: energy of the job's device between the two syncs. If it is None, the reason
            is in `no_energy`, or in `Startup.energy` if there is no counter at all.
        host_energy_joules: for a GPU job, the energy of the CPUs of its machine; None if
            unavailable.
        transport_seconds: how long calls and arrays were on their way to a framework in another
            process and back; None if the framework runs in this process.
    """

    name: str
    wall_seconds: float
    cpu_seconds: float | None
    peak_rss_bytes: int | None
    energy_joules: float | None = None
    no_energy: str = ""
    host_energy_joules: float | None = None
    transport_seconds: float | None = None


def own_cpu_seconds() -> float:
    """CPU seconds of this process so far, of all threads; the interpreter's start is included."""
    return time.process_time()


def cpu_seconds() -> float | None:
    """CPU seconds of this process and of the framework's other ones so far, of all threads.

    None if the seconds of another process are unknown.
    """
    others = _others()
    if others is None:
        return None
    try:
        # The clock of another process: clock_getcpuclockid(3) makes its number in this way.
        seconds = [time.clock_gettime((~process << 3) | 2) for process in others]
    except (OSError, AttributeError):  # the process has ended, or the system has no such clock
        return None
    return time.process_time() + sum(seconds)


def count_others(processes: Callable[[], Sequence[int] | None] | None) -> None:
    """From now on, add the CPU time and memory of other processes to those of this process.

    Args:
        processes: see `backends.contract.BackendElsewhere`; None if there are none.
    """
    global _others  # noqa: PLW0603 - a worker has one backend, and an `End` counts all its time
    _others = processes or _nobody


def leave_out(transport: Callable[[], float] | None) -> None:
    """From now on, subtract the time of a transport from the times of phases.

    Args:
        transport: see `backends.contract.FarBackend.transport_seconds`; None if there is none.
    """
    global _transport  # noqa: PLW0603 - as in `count_others`
    _transport = transport or _no_transport


def _nobody() -> Sequence[int] | None:
    return ()


def _no_transport() -> float | None:
    return None


_others = _nobody
_transport: Callable[[], float | None] = _no_transport


class Clock(Struct, frozen=True, kw_only=True):
    """Two clocks in seconds and two energy meters: of the job's device, and of its host's CPUs.

    Tests replace them.
    """

    wall: Callable[[], float] = time.perf_counter
    cpu: Callable[[], float | None] = cpu_seconds
    meter: energy.Meter = energy.NOTHING
    host_meter: energy.Meter = energy.NOTHING


def measure(
    name: str, work: Callable[[], _T], sync: Callable[[], None], clock: Clock
) -> tuple[Phase, _T]:
    """Run `work` once as a phase; return the phase and the result of `work`.

    Args:
        name: the phase's name.
        work: the function that is measured.
        sync: returns when the device has finished; called before the clocks start and before they
            stop.
        clock: see `Clock`.
    """
    sync()
    reset = memory.reset_peak(_others())
    before, host_before = clock.meter.read(), clock.host_meter.read()
    _transport()
    cpu, wall = clock.cpu(), clock.wall()
    result = work()
    sync()
    wall, cpu = clock.wall() - wall, minus(clock.cpu(), cpu)
    transport = _transport()
    joules, no_energy = clock.meter.used(before, clock.meter.read(), wall)
    host_joules, _ = clock.host_meter.used(host_before, clock.host_meter.read(), wall)
    phase = Phase(
        name=name,
        wall_seconds=wall - (transport or 0.0),
        cpu_seconds=cpu,
        # Without a reset the figure may be the peak of an earlier phase.
        peak_rss_bytes=memory.peak_rss_bytes(_others()) if reset else None,
        energy_joules=joules,
        no_energy=no_energy,
        host_energy_joules=host_joules,
        transport_seconds=transport,
    )
    return phase, result


def no_wait() -> None:
    """A `sync` that does nothing, for a phase that uses no device or waits for it itself."""


def minus(after: float | None, before: float | None) -> float | None:
    """The difference; None if one of the values is unknown."""
    return None if after is None or before is None else after - before


def rest() -> None:
    """Wait until the framework's threads sleep; 0.4 s at most.

    After their last work, threads first wait actively and use a core each: OpenBLAS's for about
    0.13 s, Intel OpenMP's for 0.2 s. That would slow down the next process.
    """
    end = time.monotonic() + _LONGEST_REST
    while time.monotonic() < end:
        began, before = time.monotonic(), cpu_seconds()
        time.sleep(_LOOK_SECONDS)
        used = minus(cpu_seconds(), before)
        if used is None or used < _RESTING * (time.monotonic() - began):
            return


def monotonic_seconds() -> float:
    """A clock in seconds for time limits; all processes of a machine share it."""
    return time.monotonic()


def pause(seconds: float) -> None:
    """Wait without using the CPU."""
    time.sleep(seconds)


def utc() -> str:
    """The time now in UTC, for example "2026-11-22T19:51:40Z"."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
