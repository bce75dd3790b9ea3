"""NVIDIA's management library: which GPUs there are, and one of them opened for the parent's looks."""

from __future__ import annotations

import contextlib
from types import ModuleType
from typing import Any

from msgspec import Struct


class Gpu(Struct, frozen=True, kw_only=True, gc=False):
    """One NVIDIA GPU as the driver numbers it; `partition` names its MIG profiles, "" if it is whole."""

    index: int
    uuid: str
    name: str
    memory_bytes: int | None
    driver: str
    partition: str = ""


def gpus(visible: str | None) -> tuple[Gpu, ...]:
    """Every NVIDIA GPU that we may use, as the driver's own library lists them; none without a driver.

    Args:
        visible: the value of CUDA_VISIBLE_DEVICES, by which a scheduler or a user keeps us off
            other GPUs: indices or (beginnings of) UUIDs; None allows all. Partitions of a GPU (MIG)
            are not known here.
    """
    try:
        import pynvml  # only the parent has it
    except ImportError:
        return ()
    try:
        pynvml.nvmlInit()
        count = pynvml.nvmlDeviceGetCount()
    except pynvml.NVMLError:
        return ()
    found = []
    for index in range(count):
        try:
            gpu = _gpu(pynvml, index)
        except pynvml.NVMLError:  # counted, and not ours to use
            continue
        words = (
            None
            if visible is None
            else [word.strip() for word in visible.split(",") if word.strip()]
        )
        if words is None or any(word == str(index) or gpu.uuid.startswith(word) for word in words):
            found.append(gpu)
    return tuple(found)


def _gpu(pynvml: ModuleType, index: int) -> Gpu:
    handle = pynvml.nvmlDeviceGetHandleByIndex(index)
    try:
        memory_bytes = pynvml.nvmlDeviceGetMemoryInfo(handle).total
    except pynvml.NVMLError:  # as where CPU and GPU share their memory
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
    """The profiles that a GPU is divided into ("1g.5gb, 2g.10gb"); "" where it is whole."""
    try:
        if pynvml.nvmlDeviceGetMigMode(handle)[0] != pynvml.NVML_DEVICE_MIG_ENABLE:
            return ""
        names = []
        for number in range(pynvml.nvmlDeviceGetMaxMigDeviceCount(handle)):
            with contextlib.suppress(pynvml.NVMLError):  # there may be fewer than its most
                part = pynvml.nvmlDeviceGetMigDeviceHandleByIndex(handle, number)
                names.append(str(pynvml.nvmlDeviceGetName(part)).rpartition(" ")[2])
        return ", ".join(names) or "divided, no instance"
    except (pynvml.NVMLError, AttributeError):  # GPUs before Ampere, or an old library, know no MIG
        return ""


def open_gpu(uuid: str) -> tuple[Any, Any]:
    """The library and a GPU's handle; twice None without library or driver, or where it is not ours to see."""
    try:
        import pynvml  # the parent has it, and only GPU jobs need it
    except ImportError:
        return None, None
    try:
        pynvml.nvmlInit()
        return pynvml, pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError:
        return None, None
