"""PyTorch, eager, with channels last and fused optimizers, as its performance guide recommends."""

from __future__ import annotations

import torch

from backends import contract
from backends.contract import Job
from backends.pytorch.eager import PyTorch
from backends.pytorch.layers import Model
from backends.pytorch.updates import build_optimizer
from specs.model import BatchNorm


class PyTorchTuned(PyTorch):
    """`memory_format=torch.channels_last` on CPUs, and `fused=True`; see also its variables.

    Models with batch norm stay in the usual layout on CPUs: PyTorch's batch norm of images stored
    channels last adds up its sums in float32 one after the other, with errors of 2e-4 where the
    usual one has 1e-7, and `vgg-32` is not faster. See docs/findings.md.

    PyTorch has fused kernels of SGD, Adagrad, Adam and AdamW. On a GPU channels last is used only
    with tensor cores: in plain float32 it is known to be slower there.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        if self._channels_last:
            self._model.to(memory_format=torch.channels_last)
        weights = list(self._model.parameters())
        self._optimizer = build_optimizer(job.workload.optimizer, weights, fused=True)
        self._update = self._optimizer.step

    @property
    def _channels_last(self) -> bool:
        if self._device.type == "cpu":
            return not any(isinstance(layer, BatchNorm) for layer in self._job.workload.layers)
        return self._job.precision != "float32"

    def _build_model(self) -> Model:
        return Model(self._job.workload, flatten_channels_last=self._channels_last)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        super().load(images, labels)
        if self._channels_last:
            self._images = self._images.permute(0, 2, 3, 1).contiguous()

    def _gather(self, rows: torch.Tensor) -> torch.Tensor:
        images = super()._gather(rows)
        return images.permute(0, 3, 1, 2) if self._channels_last else images
