"""TensorFlow's device and settings, the same for every adapter that runs on it."""

from __future__ import annotations

import tensorflow as tf

from backends.contract import DeviceMemory, Job, Unsupported
from backends.precision import require_hardware

# The kind of device in a job -> its name in TensorFlow and its plug-ins.
_KINDS = {"cuda": "GPU", "mps": "GPU", "xpu": "XPU"}


def configure(job: Job) -> None:
    """Set threads, precision and determinism. It must be called before the first computation.

    Raises:
        Unsupported: TensorFlow has no such device here, or it does not have the precision.
    """
    kind, _, index = job.device.partition(":")
    if kind == "xpu" and index != "0":
        raise Unsupported("this adapter trains only on the first Intel GPU")
    if kind != "cpu" and not tf.config.list_physical_devices(_KINDS[kind]):
        raise Unsupported(
            f"TensorFlow {tf.__version__} reports no {kind} device: no build for it, or no"
            " driver that runs it"
        )
    require_hardware(job, _capability)
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    tf.config.experimental.enable_tensor_float_32_execution(job.precision == "tf32")
    if job.deterministic:
        tf.config.experimental.enable_op_determinism()


def _capability() -> tuple[int, int]:
    """The compute capability of the NVIDIA GPU that the worker sees."""
    gpu, *_ = tf.config.list_physical_devices("GPU")
    major, minor = tf.config.experimental.get_device_details(gpu)["compute_capability"]
    return int(major), int(minor)


def device_memory(job: Job) -> DeviceMemory | None:
    """The allocator's peak, which is then reset; None if TensorFlow has none, e.g. for a CPU."""
    if not job.device.startswith("cuda"):
        return None
    peak = tf.config.experimental.get_memory_info("GPU:0")["peak"]
    tf.config.experimental.reset_memory_stats("GPU:0")
    return DeviceMemory(allocator_peak_bytes=peak, began_anew=True)


def tensorflow_settings() -> dict[str, str | int | bool | None]:
    """TensorFlow's settings, as it reports them.

    It does not report which CUDA and cuDNN it has loaded, only which it was built with. Only a
    private function tells whether it uses oneDNN; the variable that decides it is not inherited.
    """
    build = tf.sysconfig.get_build_info()
    return {
        "threads": tf.config.threading.get_intra_op_parallelism_threads(),
        "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
        "built_with_cuda": build.get("cuda_version"),
        "built_with_cudnn": build.get("cudnn_version"),
    }
