"""JAX's device and settings, the same for every adapter that runs on it."""

from __future__ import annotations

import importlib.metadata
import os

import jax

from backends.contract import DeviceMemory, Job, Unsupported
from backends.jax.family import NO_YNNPACK
from backends.precision import require_hardware

# The kind of device in a job -> the platform's name in JAX and its plug-ins.
KINDS = {"cpu": "cpu", "cuda": "cuda", "mps": "METAL", "xpu": "xpu"}
# The precision of a job -> that of products. With factors of bfloat16 there is nothing to choose.
_PRODUCTS = {"float32": "highest", "tf32": "tensorfloat32", "bfloat16": None}


# The first jaxlib whose convolutions use YNNPACK. Older ones may not know the flag, and XLA ends
# the process then.
_FIRST_WITH_YNNPACK = (0, 10, 2)


def switch_off_ynnpack() -> None:
    """Switch off XLA's fusions for YNNPACK, where there are any; before JAX's first computation."""
    parts = importlib.metadata.version("jaxlib").split(".")
    if tuple(int(part) for part in parts if part.isdecimal()) >= _FIRST_WITH_YNNPACK:
        flags = f"{os.environ.get('XLA_FLAGS', '')} {NO_YNNPACK}"  # noqa: TID251 - XLA reads it
        os.environ["XLA_FLAGS"] = flags.strip()  # noqa: TID251 - see above


def require_device(job: Job) -> jax.Device:
    """The job's device; also sets JAX's default device and the precision of its matrix products.

    Raises:
        Unsupported: JAX has no such device here, or cannot be deterministic on it, or it does not
            have the precision.
    """
    if job.deterministic and job.device != "cpu":
        raise Unsupported(
            "XLA needs a flag at its start to be deterministic, and this adapter does not set it"
        )
    kind, _, index = job.device.partition(":")
    try:  # the worker sees a single NVIDIA GPU, so its index is 0
        devices = jax.local_devices(backend=KINDS[kind])  # no other node's
        device = devices[int(index) if kind == "xpu" else 0]
    except (RuntimeError, IndexError) as error:
        reason = (
            f"JAX {jax.__version__} reports no {kind} device {index}: no build for it, or no driver"
            " that runs it"
        )
        raise Unsupported(reason) from error
    require_hardware(job, lambda: _capability(device))
    jax.config.update("jax_default_device", device)
    jax.config.update("jax_default_matmul_precision", _PRODUCTS[job.precision])
    return device


def _capability(device: jax.Device) -> tuple[int, int]:
    """The compute capability of an NVIDIA GPU."""
    major, _, minor = device.compute_capability.partition(".")
    return int(major), int(minor)


def device_memory(device: jax.Device) -> DeviceMemory | None:
    """The allocator's peak since the start of the process; None for a CPU.

    JAX cannot reset its peak.
    """
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak is None or device.platform == "cpu":
        return None
    return DeviceMemory(allocator_peak_bytes=peak)


def jax_settings() -> dict[str, str | int | bool | None]:
    """JAX's settings, as it reports them; on a GPU also the version of CUDA."""
    device = jax.config.jax_default_device  # see `require_device`
    on_gpu = device is not None and device.platform == "gpu"
    return {
        # XLA has one thread per CPU that the scheduler allows, and does not report their number.
        "threads": None,
        "default_matmul_precision": jax.config.jax_default_matmul_precision,
        "xla_flags": os.environ.get("XLA_FLAGS"),  # noqa: TID251 - XLA reads it
        # Two lines: the interface of the plug-in, and CUDA's version, such as "cuda 12090".
        "platform": "; ".join(device.client.platform_version.splitlines()) if on_gpu else None,
    }
