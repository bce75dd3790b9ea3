"""PyTorch's matrix product, convolution and memory, for measuring their speed.

Images have PyTorch's own layout, in which the eager adapter trains; on CUDA in TF32 and bfloat16
channels last, as the compiled and the tuned adapter train. On CPUs the tuned adapter trains
channels last, too: its share of the limits may be above 100 %.
"""

from __future__ import annotations

import numpy as np
import torch
from torch.nn import functional

from backends.contract import Job
from backends.engine import Step
from backends.layout import to_channels_first
from backends.pytorch import device

_IMAGE_DIMENSIONS = 4  # of an array of images (n, height, width, channels)


class PyTorchEngine:
    """`@`, `functional.conv2d` and `add_`, without autograd."""

    def __init__(self, job: Job) -> None:
        self._device = device.require_device(job)
        device.configure(job)
        self._kind = torch.bfloat16 if job.precision == "bfloat16" else torch.float32
        self.value_bytes = self._kind.itemsize
        is_last = device.trains_channels_last(job, self._device)
        self._layout = torch.channels_last if is_last else torch.contiguous_format

    def put(self, values: np.ndarray) -> torch.Tensor:
        is_images = values.ndim == _IMAGE_DIMENSIONS
        transposed = values.transpose(0, 3, 1, 2) if is_images else values
        single = torch.tensor(np.ascontiguousarray(transposed, np.float32), device=self._device)
        if is_images:
            single = single.contiguous(memory_format=self._layout)
        return single.to(self._kind) if values.ndim > 1 else single

    def read(self, array: torch.Tensor) -> np.ndarray:
        values = np.array(array.float().cpu().numpy())
        return values.transpose(0, 2, 3, 1) if values.ndim == _IMAGE_DIMENSIONS else values

    def matmul(self, kernel: np.ndarray) -> Step:
        right = self.put(kernel)
        return lambda x: x @ right

    def convolution(self, kernel: np.ndarray) -> Step:
        transposed = to_channels_first(kernel.astype(np.float32), None)
        weight = torch.tensor(transposed, device=self._device).to(self._kind)
        weight = weight.contiguous(memory_format=self._layout)
        return lambda x: functional.conv2d(x, weight, padding="same")

    def accumulate(self, term: np.ndarray) -> Step:
        addend = self.put(term)
        return lambda x: x.add_(addend)

    def wait(self, array: torch.Tensor) -> None:
        del array
        device.sync(self._device)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**device.torch_settings(), "device": str(self._device)}
