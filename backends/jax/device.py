"""JAX's device and settings, the same for every adapter that runs on it."""

from __future__ import annotations

import jax

from backends.contract import DeviceMemory, Job, Unsupported

# The kind of device in a job -> the platform's name in JAX and its plug-ins.
_KINDS = {"cpu": "cpu", "cuda": "cuda", "mps": "METAL", "xpu": "xpu"}


def require_device(job: Job) -> jax.Device:
    """The job's device; also sets JAX's default device and the precision of its matrix products.

    Raises:
        Unsupported: JAX has no such device here, or cannot be deterministic on it.
    """
    if job.deterministic and job.device != "cpu":
        raise Unsupported(
            "XLA is told to be deterministic by a flag at its start, which this adapter does not"
            " set"
        )
    kind, _, index = job.device.partition(":")
    try:  # of NVIDIA's GPUs the worker sees one only
        device = jax.devices(_KINDS[kind])[int(index) if kind == "xpu" else 0]
    except (RuntimeError, IndexError) as error:
        why = (
            f"JAX {jax.__version__} reports no {kind} device {index}: no build for it, or no driver"
        )
        raise Unsupported(why) from error
    jax.config.update("jax_default_device", device)
    jax.config.update(
        "jax_default_matmul_precision", "tensorfloat32" if job.precision == "tf32" else "highest"
    )
    return device


def device_memory(device: jax.Device) -> DeviceMemory | None:
    """The allocator's peak since the process began, as JAX cannot reset it; None for a CPU."""
    peak = (device.memory_stats() or {}).get("peak_bytes_in_use")
    if peak is None or device.platform == "cpu":
        return None
    return DeviceMemory(allocator_peak_bytes=peak)


def jax_settings() -> dict[str, str | int | bool | None]:
    """JAX's settings, as it reports them."""
    return {
        # XLA has a thread per CPU that the scheduler allows, and no call that returns their number.
        "threads": None,
        "default_matmul_precision": jax.config.jax_default_matmul_precision,
    }
