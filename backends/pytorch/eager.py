"""PyTorch, eager: the data are on the device, and one gather makes each batch.

Layers, autograd and most optimizers are PyTorch's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from backends import contract
from backends.contract import Job, Unsupported
from backends.layout import batch_to_channels_first, from_channels_first, to_channels_first
from backends.pytorch import device as pytorch_device
from backends.pytorch.device import (
    configure,
    mixed_precision,
    require_device,
    torch_settings,
)
from backends.pytorch.layers import Model, build_loss
from backends.pytorch.updates import build_optimizer, reset_optimizer

_Batch = TypeVar("_Batch", torch.Tensor, NDArray[np.bool_])


class PyTorch:
    """`nn.Sequential`, `functional.cross_entropy`, `loss.backward()`, `optimizer.step()`."""

    compiles = False

    def __init__(self, job: Job) -> None:
        if job.compiled != self.compiles or job.mode != "matched":
            way = "compiled" if self.compiles else "eagerly"
            raise Unsupported(f"this adapter trains {way}, in matched mode")
        self._device = require_device(job)
        configure(job)
        self._job = job
        self._model = self._build_model().to(self._device)
        torch.manual_seed(job.seed)  # for dropout, as the new layers have drawn weights
        self._loss_of = self._loss_with(self._model)
        self._optimizer = build_optimizer(job.workload.optimizer, list(self._model.parameters()))
        self._update = self._optimizer.step

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # PyTorch's layout is (n, channels, height, width). On a CPU nothing is copied if there is
        # one channel.
        self._images = torch.from_numpy(images).permute(0, 3, 1, 2).contiguous().to(self._device)
        self._labels = torch.from_numpy(labels).to(self._device)

    def set_weights(self, weights: contract.Weights) -> None:
        with torch.no_grad():
            for name, tensor, image in self._model.tensors():
                tensor.copy_(torch.from_numpy(to_channels_first(weights[name], image)))

    def reset(self, weights: contract.Weights) -> None:
        reset_optimizer(self._optimizer)
        torch.manual_seed(self._job.seed)
        self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        return {
            name: from_channels_first(tensor.detach().cpu().numpy(), image)
            for name, tensor, image in self._model.tensors()
        }

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        self._model.train()
        # Apple's GPUs have no float64.
        dtype = torch.float32 if self._device.type == "mps" else torch.float64
        total = torch.zeros((), dtype=dtype, device=self._device)
        precision = mixed_precision(self._job, self._device)
        batches = torch.from_numpy(order).to(self._device).split(self._job.batch_size)
        for step, batch in enumerate(batches):
            part = self._own_part(batch)
            if masks is not None:
                self._inject(masks, step)
            with precision:
                loss = self._loss_of(self._gather(part), self._labels.index_select(0, part))
            # `len` of a tensor is four calls of Python.
            size = part.shape[0]
            self._backward(loss, size / batch.shape[0])
            self._update()
            # Here, so that no gradients are in memory during the next forward pass.
            self._optimizer.zero_grad()
            # The sum stays on the device, because `.item()` would wait for every step.
            total.add_(loss.detach(), alpha=size)
        return self._over_ranks(total).item() / len(order)

    def predict(self, images: contract.Images) -> contract.Logits:
        self._model.eval()
        with torch.inference_mode(), mixed_precision(self._job, self._device):
            batches = torch.from_numpy(images).split(contract.PREDICTION_BATCH)
            logits = [self._model(batch.to(self._device).permute(0, 3, 1, 2)) for batch in batches]
            return torch.cat(logits).float().cpu().numpy()  # (n, classes)

    def sync(self) -> None:
        pytorch_device.sync(self._device)

    def device_memory(self) -> contract.DeviceMemory | None:
        return pytorch_device.device_memory(self._device)

    def settings(self) -> dict[str, str | int | bool | None]:
        device = str(next(self._model.parameters()).device)
        compiled = self._model._compiled_call_impl is not None
        return {**torch_settings(), "compiled": compiled, "device": device}

    def _build_model(self) -> Model:
        return Model(self._job.workload)

    def _gather(self, rows: Tensor) -> Tensor:
        """The images (n, channels, height, width) of these examples."""
        return self._images.index_select(0, rows)

    def _loss_with(self, model: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
        """The loss of images (n, channels, height, width) and labels (n,) with a model."""
        loss = build_loss(self._job.workload)
        return lambda images, labels: loss(model(images).float(), labels)

    def _own_part(self, batch: _Batch) -> _Batch:
        """The part of a batch that this process trains on: all of it."""
        return batch

    def _backward(self, loss: Tensor, share: float) -> None:
        """Compute the gradients of the mean loss over a batch.

        Args:
            loss: the mean loss over this process's part of it.
            share: the size of that part, as a share of the batch.
        """
        del share
        loss.backward()

    def _over_ranks(self, total: Tensor) -> Tensor:
        """The sum of a total over all processes that share a batch: this is the only one."""
        return total

    def _inject(self, masks: contract.Masks, step: int) -> None:
        """Set the masks of one step, from the masks of an epoch."""
        size = self._job.batch_size
        for dropout, epoch_mask in zip(self._model.dropouts, masks, strict=True):
            mask = self._own_part(epoch_mask[step * size : (step + 1) * size])
            given = batch_to_channels_first(mask, dropout.image)
            # A new tensor in each step, so CUDA graphs are recorded anew in each: slow, but timed
            # training has no masks.
            dropout.mask = torch.from_numpy(given).to(self._device)
