"""The memory of a GPU during a job, read from the driver by the parent."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from msgspec import Struct

from bench.machine.nvml import open_gpu


class DevicePeak(Struct, frozen=True, kw_only=True):
    """The peak of a job's GPU memory, as the driver reports it.

    Attributes:
        by: "process": the figure is the memory that the worker's processes hold. "device": the
            figure is the increase of the GPU's used memory since the start of the job, including
            other programs. It is used if the driver does not report the memory of processes, for
            example in a container.
    """

    peak_bytes: int
    by: Literal["process", "device"]


class DeviceWatch:
    """Samples the memory of one GPU during one job, by NVML.

    Create it before the worker starts. A peak between two samples is missed. This is rare, as
    frameworks keep memory once they have allocated it.
    """

    def __init__(self, uuid: str) -> None:
        self._nvml, self._gpu = open_gpu(uuid)
        self._used_before = self._used_bytes()
        self._process_peak: int | None = None
        self._device_peak: int | None = None

    def sample(self, session: int) -> None:
        """Measure the memory that the worker holds.

        Args:
            session: the process ID of the worker, which is also the ID of its session.
        """
        self._process_peak = _larger(self._process_peak, self._process_bytes(session))
        used = self._used_bytes()
        if used is not None and self._used_before is not None:
            self._device_peak = _larger(self._device_peak, used - self._used_before)

    @property
    def peak(self) -> DevicePeak | None:
        """The highest of all samples; None without NVML, or if no sample showed memory in use."""
        if self._process_peak:
            return DevicePeak(peak_bytes=self._process_peak, by="process")
        if self._device_peak is not None and self._device_peak > 0:
            return DevicePeak(peak_bytes=self._device_peak, by="device")
        return None

    def _process_bytes(self, session: int) -> int | None:
        """The total memory of the worker's processes on this GPU, in bytes.

        None if NVML lists none of these processes, or does not report the memory of one of them.
        """
        if self._nvml is None:
            return None
        try:
            listed = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._gpu)
        except self._nvml.NVMLError:
            return None
        sizes = [process.usedGpuMemory for process in listed if _is_of(process.pid, session)]
        return sum(sizes) if sizes and None not in sizes else None

    def _used_bytes(self) -> int | None:
        if self._nvml is None:
            return None
        try:
            return int(self._nvml.nvmlDeviceGetMemoryInfo(self._gpu).used)
        except self._nvml.NVMLError:
            return None


def _is_of(pid: int, session: int) -> bool:
    """Whether a process is the worker or a helper process in the worker's session."""
    if pid == session:
        return True
    # OSError: the process has ended, or belongs to another user. AttributeError: Windows has no
    # sessions.
    with contextlib.suppress(OSError, AttributeError):
        return os.getsid(pid) == session
    return False


def _larger(first: int | None, second: int | None) -> int | None:
    return max((value for value in (first, second) if value is not None), default=None)
