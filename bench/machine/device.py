"""The memory of a GPU while a job runs, as the driver tells it to the idle parent."""

from __future__ import annotations

import contextlib
import os
from typing import Literal

from msgspec import Struct

from bench.machine.nvml import open_gpu


class DevicePeak(Struct, frozen=True, kw_only=True):
    """The driver's highest figure of a job on its GPU.

    Attributes:
        by: "process", what the driver says that the worker's processes hold; "device", where it
            does not say so (a container hides who they are): how much more of the GPU is in use
            than when the job began, whosever it is.
    """

    peak_bytes: int
    by: Literal["process", "device"]


class DeviceWatch:
    """The parent's eye on one GPU during one job, by NVML: made before the worker starts, then asked to look.

    A peak between two looks is not seen; frameworks keep what they have taken, so that little hides
    there.
    """

    def __init__(self, uuid: str) -> None:
        self._nvml, self._gpu = open_gpu(uuid)
        self._used_before = self._used()
        self._of_process: int | None = None
        self._of_device: int | None = None

    def look(self, session: int) -> None:
        """Read what the worker holds: the process of that number, and all of the session that it leads."""
        self._of_process = _larger(self._of_process, self._held(session))
        used = self._used()
        if used is not None and self._used_before is not None:
            self._of_device = _larger(self._of_device, used - self._used_before)

    @property
    def peak(self) -> DevicePeak | None:
        """The highest of all looks; None without NVML, and where nothing was seen to be taken."""
        if self._of_process:
            return DevicePeak(peak_bytes=self._of_process, by="process")
        if self._of_device is not None and self._of_device > 0:
            return DevicePeak(peak_bytes=self._of_device, by="device")
        return None

    def _held(self, session: int) -> int | None:
        """Of the worker's processes on this GPU, together; None if one's memory is not told, or none is listed."""
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
    """Whether a process is the worker or a helper that it started, which is in the worker's session unless it left."""
    if pid == session:
        return True
    with contextlib.suppress(
        OSError, AttributeError
    ):  # it has ended, or is another user's; Windows has no sessions
        return os.getsid(pid) == session
    return False


def _larger(one: int | None, other: int | None) -> int | None:
    return max((value for value in (one, other) if value is not None), default=None)
