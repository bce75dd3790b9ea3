"""JAX's device and settings, the same for every adapter that runs on it."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from backends.contract import DeviceMemory, Job, Unsupported

# The kind of device in a job -> the platform's name in JAX and its plug-ins.
_BATCH = "batch"  # the name of the axis over the devices
_KINDS = {"cpu": "cpu", "cuda": "cuda", "mps": "METAL", "xpu": "xpu"}


def require_device(job: Job) -> jax.Device:
    """The job's device; also sets JAX's default device and the precision of its matrix products.

    Raises:
        Unsupported: JAX has no such device here, or cannot be deterministic on it.
    """
    if job.deterministic and job.device != "cpu":
        raise Unsupported(
            "XLA needs a flag at its start to be deterministic, and this adapter does not set it"
        )
    kind, _, index = job.device.partition(":")
    try:  # the worker sees a single NVIDIA GPU, so its index is 0
        device = jax.devices(_KINDS[kind])[int(index) if kind == "xpu" else 0]
    except (RuntimeError, IndexError) as error:
        reason = (
            f"JAX {jax.__version__} reports no {kind} device {index}: no build for it, or no driver"
        )
        raise Unsupported(reason) from error
    jax.config.update("jax_default_device", device)
    jax.config.update(
        "jax_default_matmul_precision", "tensorfloat32" if job.precision == "tf32" else "highest"
    )
    return device


class Placement(NamedTuple):
    """Where the arrays of a job with several ranks are: each rank is a device.

    Attributes:
        whole: for arrays that every device has.
        split: for batches (steps, size): every device has its part of each.
    """

    whole: NamedSharding
    split: NamedSharding


def place(job: Job) -> Placement:
    """The placement for a job's ranks.

    Raises:
        Unsupported: JAX has fewer devices here.
    """
    kind = _KINDS[job.device.partition(":")[0]]
    if kind == "cpu":  # before JAX's first use, which makes the devices
        jax.config.update("jax_num_cpu_devices", job.ranks)
    devices = jax.devices(kind)[: job.ranks]
    if len(devices) < job.ranks:
        raise Unsupported(f"JAX has {len(devices)} {kind} devices here, and {job.ranks} are wanted")
    mesh = Mesh(np.array(devices), (_BATCH,))
    return Placement(
        NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, _BATCH))
    )


def device_memory(device: jax.Device) -> DeviceMemory | None:
    """The allocator's peak since the start of the process; None for a CPU.

    JAX cannot reset its peak.
    """
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak is None or device.platform == "cpu":
        return None
    return DeviceMemory(allocator_peak_bytes=peak)


def jax_settings() -> dict[str, str | int | bool | None]:
    """JAX's settings, as it reports them."""
    return {
        # XLA has one thread per CPU that the scheduler allows, and does not report their number.
        "threads": None,
        "default_matmul_precision": jax.config.jax_default_matmul_precision,
    }
