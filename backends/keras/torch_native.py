"""Keras on PyTorch in native mode, with the matched adapter's device and settings."""

from __future__ import annotations

from typing import Any

import torch

from backends.keras.native import KerasNative
from backends.keras.torch import KerasTorch


class KerasTorchNative(KerasNative, KerasTorch):
    """`fit` builds a DataLoader from the arrays, and copies its batches to the device."""

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**super().settings(), "optimizer": self._optimizer_text()}

    def _take(self, batches: list[tuple[torch.Tensor, torch.Tensor]]) -> dict[str, Any]:
        self._read += sum(len(labels) for _, labels in batches)
        return {}
