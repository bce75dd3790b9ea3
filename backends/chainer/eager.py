"""Chainer: its layers, automatic differentiation and optimizers, step by step on the CPU."""

from __future__ import annotations

import numpy as np

from backends import contract
from backends.chainer.device import chainer_settings, configure, prediction, seed_dropout
from backends.chainer.layers import Model, build_loss
from backends.chainer.updates import build_optimizer
from backends.contract import Job, Unsupported
from backends.layout import batch_to_channels_first, from_channels_first, to_channels_first


class Chainer:
    """`chainer.Sequential`, `loss.backward()` and `optimizer.update()`."""

    def __init__(self, job: Job) -> None:
        if job.mode != "matched":
            raise Unsupported("this adapter trains in matched mode: Chainer is retired")
        configure(job)
        self._job = job
        self._model = Model(job.workload)
        self._loss = build_loss(job.workload)
        self._optimizer = build_optimizer(job.workload.optimizer)
        self._begin()

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # Nothing is copied if there is one channel.
        self._images = np.ascontiguousarray(batch_to_channels_first(images))
        self._labels = labels.astype(np.int32)  # as in Chainer's own data sets

    def set_weights(self, weights: contract.Weights) -> None:
        for name, array, image in self._model.arrays():
            array[...] = to_channels_first(weights[name], image)

    def reset(self, weights: contract.Weights) -> None:
        self._begin()
        self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        return {
            name: from_channels_first(array, image) for name, array, image in self._model.arrays()
        }

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        size, total = self._job.batch_size, 0.0
        for start in range(0, len(order), size):
            self._set_masks(masks, slice(start, start + size))
            batch = order[start : start + size]
            total += self._step(self._images[batch], self._labels[batch]) * len(batch)
        return total / len(order)

    def predict(self, images: contract.Images) -> contract.Logits:
        size = contract.PREDICTION_BATCH
        with prediction():
            logits = [
                self._model(
                    np.ascontiguousarray(batch_to_channels_first(images[start : start + size]))
                ).array
                for start in range(0, len(images), size)
            ]
        return np.concatenate(logits)

    def sync(self) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def device_memory(self) -> None:
        return None

    def settings(self) -> dict[str, str | int | bool | None]:
        parameters = list(self._model.params())
        return {
            **chainer_settings(),
            "dtype": ", ".join(sorted({str(parameter.dtype) for parameter in parameters})),
            "optimizer": type(self._optimizer).__name__,
            "compiled": False,
            "device": "cpu" if parameters[0].device.xp is np else str(parameters[0].device),
        }

    def _begin(self) -> None:
        """New optimizer state for every parameter, and the first state of dropout's generator."""
        self._optimizer.setup(self._model)
        seed_dropout(self._job.seed)

    def _step(self, images: np.ndarray, labels: np.ndarray) -> float:
        """Train on one batch; its mean loss, as a Python float: the epoch's sum is in float64.

        The graph of the step ends with this function, before the next one is built.
        """
        loss = self._loss(self._model(images), labels)
        self._model.cleargrads()
        loss.backward()
        self._optimizer.update()
        return float(loss.array)

    def _set_masks(self, masks: contract.Masks | None, part: slice) -> None:
        """Give the dropout layers the masks of one step; without masks, their own."""
        if masks is None:
            for dropout in self._model.dropouts:
                dropout.keep(None)
            return
        for dropout, epoch_mask in zip(self._model.dropouts, masks, strict=True):
            mask = epoch_mask[part]
            dropout.keep(batch_to_channels_first(mask, dropout.image))
