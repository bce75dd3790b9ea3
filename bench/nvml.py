"""NVIDIA's management library, where the parent's eyes on a GPU begin."""

from __future__ import annotations

from typing import Any


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
