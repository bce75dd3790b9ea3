"""Variants of Keras on PyTorch that each change one thing: questions to a GPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from backends import contract
from backends.contract import Job
from backends.keras.torch import KerasTorch
from backends.layout import batch_to_channels_first
from backends.pytorch.compiled import require_compiler


class KerasTorchChannelsFirst(KerasTorch):
    """Images are (channels, height, width), PyTorch's own layout.

    Weights keep their order: `Flatten` puts the channels last again.
    """

    image_data_format = "channels_first"

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        super().load(_channels_first(images), labels)

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        given = None if masks is None else [batch_to_channels_first(mask) for mask in masks]
        return super().train_epoch(order, given)

    def _logits(self, images: contract.Images) -> Any:
        return super()._logits(_channels_first(images))


class KerasTorchCompiled(KerasTorch):
    """`jit_compile=True`, where the compiler works."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        require_compiler(self._device)
        if self._device.type == "cpu":
            # Else its gradients may be wrong there, see `backends.pytorch.compiled`.
            torch._inductor.config.layout_optimization = False


def _channels_first(images: contract.Images) -> contract.Images:
    """A copy, as a view would keep its layout on the device."""
    return np.ascontiguousarray(batch_to_channels_first(images))
