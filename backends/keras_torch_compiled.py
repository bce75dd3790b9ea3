"""Keras on PyTorch at its best: `jit_compile=True`, by which Keras gives the whole step to `torch.compile`."""

from __future__ import annotations

from backends.contract import Job
from backends.keras_torch import KerasTorch
from backends.pytorch_compiled import require_compiler


class KerasTorchCompiled(KerasTorch):
    """Each size of batch is compiled once, with the optimizer; the backward pass is a graph of its own."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        require_compiler(self._device)
