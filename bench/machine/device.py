"""Watches the GPUs of a job through their driver: memory, processes and state."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

from msgspec import Struct

from bench.machine.gpu_state import GpuState, StateWatch
from bench.machine.nvml import OpenGpu

_MOST_PIDS = 2**22  # Linux has no higher process ID; some drivers answer 4294967295
_Bad = TypeVar("_Bad", int, bool)  # a larger value is a worse one
MPS_SERVER = "nvidia-cuda-mps"  # the kernel keeps 15 characters of a process's name


class DevicePeak(Struct, frozen=True, kw_only=True):
    """The peak of a job's GPU memory, as the driver reports it.

    Attributes:
        by: "process": the figure is the memory that the worker's processes hold. "device": the
            figure is the increase of the GPU's used memory since the start of the job, including
            other programs. It is used if the driver does not report the memory of processes, for
            example in a container.

    Of several GPUs it is the largest peak of one GPU.
    """

    peak_bytes: int
    by: Literal["process", "device"]


class DeviceWatch:
    """Samples one GPU or slice during one job, by NVML.

    Create it before the worker starts. A peak between two samples is missed. This is rare, as
    frameworks keep memory once they have allocated it.

    Args:
        uuid: of the GPU or slice.
        waiting: the IDs of our other processes, which are alive and wait for turns.
    """

    def __init__(self, uuid: str, waiting: Sequence[int] = ()) -> None:
        self._gpu, self._waiting = OpenGpu(uuid), tuple(waiting)
        self._state = StateWatch(uuid, self._gpu)
        self._used_before = self._used_bytes()
        self._process_peak: int | None = None
        self._device_peak: int | None = None
        self._is_listed, self._most_others = False, 0

    def sample(self, session: int) -> None:
        """Read the driver's figures.

        Args:
            session: the process ID of the worker, which is also the ID of its session.
        """
        self._count(self._processes(), session)
        used = self._used_bytes()
        if used is not None and self._used_before is not None:
            self._device_peak = _larger(self._device_peak, used - self._used_before)
        self._state.sample()

    @property
    def peak(self) -> DevicePeak | None:
        """The highest of all samples; None without NVML, or if no sample showed memory in use."""
        if self._process_peak:
            return DevicePeak(peak_bytes=self._process_peak, by="process")
        if self._device_peak is not None and self._device_peak > 0:
            return DevicePeak(peak_bytes=self._device_peak, by="device")
        return None

    @property
    def other_processes(self) -> int | None:
        """The largest number of processes at once that are not ours.

        None if the worker was never listed: then the driver hides processes, or gives them other
        numbers than this container does, and the processes of others cannot be told from ours.
        """
        return self._most_others if self._is_listed else None

    @property
    def throttled(self) -> bool | None:
        """Whether heat or lack of power slowed the GPU down; None if unknown."""
        return self._state.throttled

    @property
    def clock(self) -> float | None:
        """See `StateWatch.clock`."""
        return self._state.clock

    @property
    def state(self) -> GpuState | None:
        """The state of the GPU during the job; None without a driver."""
        return self._state.state

    def _count(self, processes: Sequence[Any], session: int) -> None:
        """Count the worker's memory and the processes of others.

        The memory of the worker is unknown if NVML lists none of its processes, or does not report
        the memory of one of them.
        """
        of_worker = [process for process in processes if _is_of(process.pid, session)]
        sizes = [process.usedGpuMemory for process in of_worker]
        if sizes and None not in sizes:
            self._process_peak = _larger(self._process_peak, sum(sizes))
        our_sessions = (session, *self._waiting)
        others = [
            process
            for process in processes
            if not any(_is_of(process.pid, session_id) for session_id in our_sessions)
            and not _is_mps(process.pid)
        ]
        self._is_listed = self._is_listed or bool(of_worker)
        self._most_others = max(self._most_others, len(others))

    def _processes(self) -> list[Any]:
        """The processes that compute on this GPU, each once, as far as the driver lists them.

        With MPS, the processes that share the GPU through its server may be in a separate list.
        """
        names = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses")
        listed = [process for name in names for process in self._gpu.ask(name) or ()]
        return list({process.pid: process for process in listed}.values())

    def _used_bytes(self) -> int | None:
        memory = self._gpu.ask("nvmlDeviceGetMemoryInfo")
        return None if memory is None else int(memory.used)


class DevicesWatch:
    """Samples all GPUs of one job on this machine: one for each rank.

    A figure is that of the worst GPU, as a job is as slow as its slowest rank. A figure of the job
    is unknown if it is unknown of one GPU and good on all others.

    Args:
        uuids: of the GPUs or slices, the first rank's first; none for other devices.
        waiting: see `DeviceWatch`.
    """

    def __init__(self, uuids: Sequence[str], waiting: Sequence[int] = ()) -> None:
        self._watches = [DeviceWatch(uuid, waiting) for uuid in uuids]

    def sample(self, session: int) -> None:
        """See `DeviceWatch.sample`."""
        for watch in self._watches:
            watch.sample(session)

    @property
    def peak(self) -> DevicePeak | None:
        """The largest peak of one GPU; None if none is known."""
        peaks = [watch.peak for watch in self._watches]
        known = [peak for peak in peaks if peak is not None]
        return max(known, key=lambda peak: peak.peak_bytes, default=None)

    @property
    def other_processes(self) -> int | None:
        """The largest number of other processes at once on one GPU; None if unknown."""
        return _worst([watch.other_processes for watch in self._watches])

    @property
    def throttled(self) -> bool | None:
        """Whether heat or lack of power slowed any of the GPUs down; None if unknown."""
        return _worst([watch.throttled for watch in self._watches])

    @property
    def clock(self) -> float | None:
        """The lowest `StateWatch.clock`; None if none is known."""
        clocks = [watch.clock for watch in self._watches]
        return min((clock for clock in clocks if clock is not None), default=None)

    @property
    def state(self) -> GpuState | None:
        """The state of the first rank's GPU; None without one, or without a driver."""
        return self._watches[0].state if self._watches else None


def _worst(values: Sequence[_Bad | None]) -> _Bad | None:
    """The largest value; None if it is 0 or False, and another one is unknown."""
    worst = max((value for value in values if value is not None), default=None)
    return worst if worst or None not in values else None


def _is_of(pid: int, session: int) -> bool:
    """Whether a process is the worker or a helper process in the worker's session."""
    if pid == session:
        return True
    # OSError: the process has ended, or belongs to another user. AttributeError: Windows has no
    # sessions.
    with contextlib.suppress(OSError, AttributeError):
        return 0 < pid <= _MOST_PIDS and os.getsid(pid) == session
    return False


def _is_mps(pid: int) -> bool:
    """Whether a process is the server of MPS, through which our processes may use the GPU."""
    with contextlib.suppress(OSError):
        name = Path(f"/proc/{pid}/comm").read_text(encoding="utf-8", errors="replace")
        return name.strip() == MPS_SERVER
    return False


def _larger(first: int | None, second: int | None) -> int | None:
    return max((value for value in (first, second) if value is not None), default=None)
