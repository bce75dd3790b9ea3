"""The memory of a GPU during a job, read from the driver by the parent."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from msgspec import Struct

from bench.machine.nvml import open_gpu


class DevicePeak(Struct, frozen=True, kw_only=True):
    """The driver's highest figure of the GPU memory of a job.

    Attributes:
        by: "process": the memory that the worker's processes hold. "device": how much more memory
            of the GPU is in use than when the job began, whoever uses it; this is taken if the
            driver does not tell the memory of processes (as in a container, which hides them).
    """

    peak_bytes: int
    by: Literal["process", "device"]


class DeviceWatch:
    """Samples the memory of one GPU during one job, by NVML.

    It must be made before the worker starts. A peak between two samples is missed; this is rare, as
    frameworks keep the memory that they have once taken.
    """

    def __init__(self, uuid: str) -> None:
        self._nvml, self._gpu = open_gpu(uuid)
        self._used_before = self._used()
        self._of_process: int | None = None
        self._of_device: int | None = None

    def look(self, session: int) -> None:
        """Take a sample of the memory that the worker holds.

        Args:
            session: the number of the worker's process, and of the session that it leads.
        """
        self._of_process = _larger(self._of_process, self._held(session))
        used = self._used()
        if used is not None and self._used_before is not None:
            self._of_device = _larger(self._of_device, used - self._used_before)

    @property
    def peak(self) -> DevicePeak | None:
        """The highest of all samples; None without NVML, or if no sample showed memory in use."""
        if self._of_process:
            return DevicePeak(peak_bytes=self._of_process, by="process")
        if self._of_device is not None and self._of_device > 0:
            return DevicePeak(peak_bytes=self._of_device, by="device")
        return None

    def _held(self, session: int) -> int | None:
        """The bytes that the worker's processes hold together on this GPU.

        None if NVML lists none of them, or does not tell the memory of one.
        """
        if self._nvml is None:
            return None
        try:
            listed = self._nvml.nvmlDeviceGetComputeRunningProcesses(self._gpu)
        except self._nvml.NVMLError:
            return None
        held = [process.usedGpuMemory for process in listed if _is_of(process.pid, session)]
        return sum(held) if held and None not in held else None

    def _used(self) -> int | None:
        if self._nvml is None:
            return None
        try:
            return int(self._nvml.nvmlDeviceGetMemoryInfo(self._gpu).used)
        except self._nvml.NVMLError:
            return None


def _is_of(pid: int, session: int) -> bool:
    """Whether a process is the worker or a helper that it started.

    A helper is in the worker's session, unless it has left it.
    """
    if pid == session:
        return True
    # OSError: it has ended, or is another user's. AttributeError: Windows has no sessions.
    with contextlib.suppress(OSError, AttributeError):
        return os.getsid(pid) == session
    return False


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
