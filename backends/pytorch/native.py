"""PyTorch in native mode: it trains as PyTorch's tutorials do.

It uses torchvision's data set, a DataLoader, and `torch.optim` with PyTorch's constants.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import nn
from torch.utils.data import DataLoader, Dataset

from backends import contract
from backends.contract import Job, Unsupported
from backends.pytorch.device import configure, require_device
from backends.pytorch.eager import PyTorch
from backends.pytorch.layers import Model, build_loss
from specs.model import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    BatchNorm,
    Dropout,
    RmsProp,
    Sgd,
    Workload,
)
from specs.shapes import LayerShape

_OPTIMIZERS = {
    Sgd: torch.optim.SGD,
    RmsProp: torch.optim.RMSprop,
    Adagrad: torch.optim.Adagrad,
    Adam: torch.optim.Adam,
    AdamW: torch.optim.AdamW,
    Adadelta: torch.optim.Adadelta,
}


class PyTorchNative(PyTorch):
    """`for images, labels in DataLoader(...)`, with a PIL image per example.

    The matched adapter sets and reads weights, and configures the device.
    """

    # It does not call the matched adapter's `__init__`, which builds another model and optimizer.
    def __init__(self, job: Job) -> None:
        if job.compiled or job.precision == "bfloat16" or job.mode != "native":
            raise Unsupported("native mode trains eagerly, in float32 or TF32, as tutorials do")
        channels = job.workload.input.shape[2]
        if channels not in {1, 3}:
            raise Unsupported(f"PIL images have 1 or 3 channels, but these have {channels}")
        if _TORCHVISION is None:
            raise Unsupported(f"torchvision cannot be imported: {_IMPORT_ERROR}")
        self._device = require_device(job)
        configure(job)
        self._job = job
        self._model = NativeModel(job.workload).to(self._device)
        self._loss = build_loss(job.workload)
        self._optimizer: torch.optim.Optimizer = _build_optimizer(job.workload, self._model)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        drop = self._job.workload.recipe.last_partial_batch == "drop"
        examples, size = _data_set(images, labels), self._job.batch_size
        self._loader = DataLoader(examples, batch_size=size, shuffle=True, drop_last=drop)

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        """Train on all loaded examples.

        Shuffle and dropout are PyTorch's own, so neither argument is used.

        Returns:
            The mean of the steps' losses, as tutorials compute it. A partial batch counts as much
            as a full one.
        """
        del order, masks
        self._model.train()
        running = 0.0
        for images, labels in self._batches():
            loss = self._loss(self._model(images), labels)
            self._optimizer.zero_grad()
            loss.backward()
            self._optimizer.step()
            running += loss.item()
        return running / len(self._loader)

    def predict(self, images: contract.Images) -> contract.Logits:
        self._model.eval()
        examples = _data_set(images, np.zeros(len(images), np.int64))
        loader = DataLoader(examples, batch_size=self._job.batch_size)
        with torch.no_grad():
            logits = torch.cat([self._model(batch.to(self._device)) for batch, _ in loader])
            return logits.cpu().numpy()

    def read_inputs(self) -> int:
        """Read an epoch of the DataLoader without training; copy every batch to the device.

        Returns:
            The number of examples.
        """
        return sum(len(labels) for _, labels in self._batches())

    def settings(self) -> dict[str, str | int | bool | None]:
        constants = [
            f"{name}={value}"
            for name, value in self._optimizer.param_groups[0].items()
            if name != "params" and value is not None and value is not False
        ]
        optimizer = " ".join([type(self._optimizer).__name__, *constants])
        return {**super().settings(), "optimizer": optimizer}

    def _batches(self) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
        for images, labels in self._loader:
            yield images.to(self._device), labels.to(self._device)


class NativeModel(Model):
    """The workload's layers with PyTorch's dropout and batch norm, and PyTorch's constants."""

    def _build(self, shape: LayerShape) -> Iterator[nn.Module]:
        match shape.layer:
            case BatchNorm():
                kind = nn.BatchNorm1d if len(shape.output) == 1 else nn.BatchNorm2d
                module = kind(shape.output[-1])
                attributes = ("weight", "bias", "running_mean", "running_var")
                places = [(module, attribute, shape.flattened) for attribute in attributes]
                self.places |= zip(shape.parameters | shape.state, places, strict=True)
                yield module
            case Dropout(rate=rate):
                yield nn.Dropout(rate)
            case _:
                yield from super()._build(shape)


def _build_optimizer(workload: Workload, model: nn.Module) -> torch.optim.Optimizer:
    """The optimizer that the workload names, with PyTorch's constants.

    Only SGD's momentum and nesterov are the workload's, as they select the method.
    """
    spec = workload.optimizer
    method = {"momentum": spec.momentum, "nesterov": spec.nesterov} if isinstance(spec, Sgd) else {}
    return _OPTIMIZERS[type(spec)](model.parameters(), **method)


def _data_set(images: contract.Images, labels: contract.Labels) -> Dataset:
    """A torchvision data set that reads the arrays: MNIST, or CIFAR10 if the images are RGB.

    Each example becomes a PIL image, then a tensor. Pixels are bytes / 255 in all data sets of the
    bench; here they are converted to bytes again.
    """
    v2, datasets, is_grey = _TORCHVISION.transforms.v2, _TORCHVISION.datasets, images.shape[3] == 1
    parent: Any = datasets.MNIST if is_grey else datasets.CIFAR10

    class InMemory(parent):
        def __init__(self) -> None:  # the parent's `__init__` would look for files
            transform = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32, scale=True)])
            datasets.VisionDataset.__init__(self, transform=transform)
            pixels = np.rint(images * 255).astype(np.uint8)
            self.data = torch.from_numpy(pixels[..., 0]) if is_grey else pixels
            self.targets = torch.from_numpy(labels) if is_grey else labels.tolist()

    return InMemory()


def _import_torchvision() -> tuple[Any, str]:
    """Torchvision and "", or None and the reason why it cannot be imported.

    It is imported together with this module, so that the time of building a model does not include
    the import. If its compiled operators do not fit this PyTorch, the import fails because two
    operators are not declared. They are then declared here; nothing calls them.
    """
    try:
        importlib.import_module("torchvision.transforms.v2")
    except ImportError as error:
        return None, str(error)
    except RuntimeError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchvision"]:
            del sys.modules[name]  # the failed import was incomplete
        try:
            for name in ("nms", "qnms"):
                _OPERATORS.define(
                    f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor"
                )
            importlib.import_module("torchvision.transforms.v2")
        except (ImportError, RuntimeError) as error:
            return None, str(error)
    return sys.modules["torchvision"], ""


# A global variable, as PyTorch removes the declarations when the `Library` is deleted.
_OPERATORS = torch.library.Library("torchvision", "FRAGMENT")
_TORCHVISION, _IMPORT_ERROR = _import_torchvision()
