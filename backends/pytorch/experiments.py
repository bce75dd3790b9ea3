"""Variants of compiled PyTorch that each change one thing: questions to a GPU.

On CPUs the layout without `channels_last` is that of `PyTorchCompiled`, and there are no CUDA
graphs.
"""

from __future__ import annotations

from typing import Any

import torch

from backends import contract
from backends.contract import Job
from backends.pytorch.compiled import PyTorchCompiled
from backends.pytorch.updates import Update


class PyTorchChannelsLast(PyTorchCompiled):
    """`channels_last` in every precision."""

    def _has_channels_last(self) -> bool:
        return True


class PyTorchContiguous(PyTorchCompiled):
    """PyTorch's own layout in every precision: TorchInductor must not change it."""

    def _has_channels_last(self) -> bool:
        return False

    def _options(self) -> dict[str, Any]:
        # The mode "reduce-overhead", which cannot be given together with options.
        graphs = {"triton.cudagraphs": True} if self._device.type == "cuda" else {}
        return {"options": {**graphs, "layout_optimization": False}}


class PyTorchUpdateGraph(PyTorchCompiled):
    """The optimizer's step is in a CUDA graph, too."""

    update_mode = "reduce-overhead"

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if isinstance(self._optimizer, Update):
            # Else a graph may not change them. PyTorch marks those of its own optimizers.
            for tensor in self._optimizer.tensors():
                torch._dynamo.mark_static_address(tensor)
        compiled = self._loss_of

        def loss_of(images: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
            # Else each call of a compiled function begins a step of its own, and that of the
            # optimizer would free the gradients, which are in the memory of the last step's graphs.
            torch.compiler.cudagraph_mark_step_begin()
            return compiled(images, labels)

        self._loss_of = loss_of

    def predict(self, images: contract.Images) -> contract.Logits:
        torch.compiler.cudagraph_mark_step_begin()
        return super().predict(images)
