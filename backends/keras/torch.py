"""Keras on PyTorch, trained by `model.fit`.

The data are on the device, and one gather makes each batch. By its source, Keras itself copies a
few numbers to a GPU in every step, for example to count examples, and each copy waits for the GPU.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager

import keras
import torch

from backends import contract
from backends.contract import Job
from backends.keras.model import KerasModel
from backends.pytorch import device
from backends.pytorch.device import configure, require_device, torch_settings


class KerasTorch(KerasModel):
    """`fit` over a generator of batches; prediction calls the model without gradients."""

    def __init__(self, job: Job) -> None:
        self._device = require_device(job)
        configure(job)
        super().__init__(job)
        torch.manual_seed(job.seed)  # Keras's dropout draws from PyTorch's own generator here

    def reset(self, weights: contract.Weights) -> None:
        super().reset(weights)
        torch.manual_seed(self._job.seed)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # Copies, as the adapter must not change the arrays.
        self._images = torch.tensor(images, device=self._device)
        self._labels = torch.tensor(labels, device=self._device)

    def sync(self) -> None:
        device.sync(self._device)

    def device_memory(self) -> contract.DeviceMemory | None:
        return device.device_memory(self._device)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            **torch_settings(),
            "compiled": bool(self._model.jit_compile),
            "device": str(self._model.trainable_variables[0].value.device),
            "keras_backend": keras.backend.backend(),
        }

    def _scope(self) -> AbstractContextManager[None]:
        return keras.device(str(self._device))  # without it Keras uses a GPU if PyTorch has one

    def _batches(self, order: contract.Order) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for rows in torch.from_numpy(order).to(self._device).split(self._job.batch_size):
            yield self._images.index_select(0, rows), self._labels.index_select(0, rows)

    def _logits(self, images: contract.Images) -> torch.Tensor:
        with torch.no_grad():
            return self._model(torch.from_numpy(images).to(self._device), training=False)
