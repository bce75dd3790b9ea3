"""Lists the GPUs, and opens one for the parent, by NVML (NVIDIA's management library)."""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

from msgspec import Struct


class Gpu(Struct, frozen=True, kw_only=True, gc=False):
    """One NVIDIA GPU.

    Attributes:
        index: the driver's number of the GPU.
        memory_bytes: the size of its memory; None if the driver does not report it.
        partition: the names of its MIG profiles; "" if it is not divided.
    """

    index: int
    uuid: str
    name: str
    memory_bytes: int | None
    driver: str
    partition: str = ""


def gpus(visible: str | None) -> tuple[Gpu, ...]:
    """All NVIDIA GPUs that this process may use, in NVML's order; empty without a driver.

    Args:
        visible: the value of CUDA_VISIBLE_DEVICES, with which a scheduler or a user allows only
            some GPUs: a list of indices, UUIDs or beginnings of UUIDs. None allows all GPUs.
            Partitions of a GPU (MIG) are not supported.
    """
    try:
        import pynvml  # here, so that `bench --help` stays fast
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return ()
    visible_gpus = []
    for index in range(count):
        try:
            gpu = _gpu(pynvml, index)
        except pynvml.NVMLError:  # NVML counts this GPU, but this process may not use it
            continue
        if _is_visible(gpu, visible):
            visible_gpus.append(gpu)
    return tuple(visible_gpus)


def _is_visible(gpu: Gpu, visible: str | None) -> bool:
    """Whether the value of CUDA_VISIBLE_DEVICES (see `gpus`) allows this GPU."""
    if visible is None:
        return True
    words = [word.strip() for word in visible.split(",") if word.strip()]
    return any(word == str(gpu.index) or gpu.uuid.startswith(word) for word in words)


def _gpu(pynvml: ModuleType, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    try:
        memory_bytes = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    except pynvml.NVMLError:  # for example on a machine where CPU and GPU share the memory
        memory_bytes = None
    return Gpu(
        index=index,
        uuid=pynvml.nvmlDeviceGetUUID(handle),
        name=pynvml.nvmlDeviceGetName(handle),
        memory_bytes=memory_bytes,
        driver=pynvml.nvmlSystemGetDriverVersion(),
        partition=_partition(pynvml, handle),
    )


def _partition(pynvml: ModuleType, handle: Any) -> str:
    """The MIG profiles that a GPU is divided into ("1g.5gb, 2g.10gb"); "" if it is not divided."""
    try:
        if pynvml.nvmlDeviceGetMigMode(handle)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return ""
        names = []
        for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with contextlib.suppress(pynvml.NVMLError):  # some numbers may be unused
                part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                names.append(str(pynvml.nvmlDeviceGetName(part)).rpartition(" ")[2])
        return ", ".join(names) or "divided, no instance"
    except (pynvml.NVMLError, AttributeError):  # no MIG: a GPU before Ampere, or an old library
        return ""


def open_gpu(uuid: str) -> tuple[Any, Any]:
    """The module `pynvml` and the handle of a GPU.

    Both are None if the module or the driver is missing, or if this process may not use the GPU.
    """
    try:
        import pynvml  # here, as only GPU jobs need it
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError:
        return None, None
