"""PyTorch's device and settings, the same for every adapter that runs on it."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import torch

from backends.contract import DeviceMemory, Job, Unsupported
from backends.precision import require_hardware


def require_device(job: Job) -> torch.device:
    """The job's device.

    Raises:
        Unsupported: this PyTorch does not report the device, or it does not have the precision.
    """
    kind = job.device.partition(":")[0]
    if kind == "cpu":
        require_hardware(job, torch.cuda.get_device_capability)
        return torch.device("cpu")
    is_available = torch.accelerator.is_available()
    accelerator = torch.accelerator.current_accelerator() if is_available else None
    if accelerator is None or accelerator.type != kind:
        raise Unsupported(
            f"PyTorch {torch.__version__} reports no {kind} device: no build for it, or no"
            " driver that runs it"
        )
    require_hardware(job, torch.cuda.get_device_capability)
    return torch.device("cuda" if kind == "cuda" else job.device)  # a worker sees one NVIDIA GPU


def configure(job: Job) -> None:
    """Set seed, threads, precision and determinism as the job says."""
    tf32 = job.precision == "tf32"
    torch.manual_seed(job.seed)  # for dropout; in native mode also for weights and shuffle
    torch.set_num_threads(job.threads)
    torch.set_float32_matmul_precision("high" if tf32 else "highest")
    torch.backends.cudnn.allow_tf32 = tf32
    # Autotuning is on, as in TensorFlow and XLA.
    torch.backends.cudnn.benchmark = not job.deterministic
    torch.use_deterministic_algorithms(job.deterministic)


def mixed_precision(job: Job, device: torch.device) -> AbstractContextManager[object]:
    """The context of a job's model and loss: for bfloat16, PyTorch's automatic mixed precision.

    It casts the factors of products, and leaves weights in float32. Gradients of bfloat16 need no
    scaling, as it has the exponents of float32.
    """
    if job.precision != "bfloat16":
        return nullcontext()
    return torch.autocast(device.type, torch.bfloat16)


def sync(device: torch.device) -> None:
    """Return only when all queued work of the device is done."""
    if device.type != "cpu":
        torch.accelerator.synchronize()


def device_memory(device: torch.device, *, resets: bool = True) -> DeviceMemory | None:
    """The allocator's peak on CUDA; None on other devices.

    It is unknown whether the peaks of other devices are comparable.

    Args:
        device: the job's device.
        resets: whether the peak is then reset.
    """
    if device.type != "cuda":
        return None
    peak = torch.cuda.max_memory_allocated()
    if resets:
        torch.cuda.reset_peak_memory_stats()
    return DeviceMemory(allocator_peak_bytes=peak, began_anew=resets)


def trains_channels_last(job: Job, device: torch.device) -> bool:
    """Whether compiled and tuned backends train channels last on this GPU: with tensor cores.

    In plain float32 this layout is known to be slower on GPUs.
    """
    return device.type == "cuda" and job.precision != "float32"


def torch_settings() -> dict[str, str | int | bool | None]:
    """PyTorch's settings, as it reports them; with a GPU also the versions of its libraries."""
    has_gpu = torch.cuda.is_available()  # without one cuDNN would be loaded just to be asked
    return {
        "threads": torch.get_num_threads(),
        "float32_matmul_precision": torch.get_float32_matmul_precision(),
        "cudnn_allow_tf32": torch.backends.cudnn.allow_tf32,
        "cudnn_benchmark": torch.backends.cudnn.benchmark,
        "deterministic": torch.are_deterministic_algorithms_enabled(),
        "cuda": torch.version.cuda if has_gpu else None,
        "cudnn": torch.backends.cudnn.version() if has_gpu else None,
    }
