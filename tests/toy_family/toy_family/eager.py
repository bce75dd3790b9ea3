"""The adapter, with the ten methods of `backends.contract.Backend`.

The file is named after the way in which the framework trains.
"""

from __future__ import annotations

import numpy as np

from backends.contract import PREDICTION_BATCH, Images, Job, Labels, Logits, Masks, Order, Weights
from toy_family.device import require_device, settings
from toy_family.layers import build_layers, loss_and_gradient
from toy_family.updates import build_update


class Toy:
    """Trains layer by layer."""

    def __init__(self, job: Job) -> None:
        require_device(job)
        self._job, self._layers = job, build_layers(job.workload)
        self._begin()

    def load(self, images: Images, labels: Labels) -> None:
        self._images, self._labels = images, labels

    def set_weights(self, weights: Weights) -> None:
        for layer in self._layers:
            for tensors in (layer.weights, layer.state):
                for name in tensors:
                    tensors[name] = weights[f"{layer.position}.{name}"].astype(float)

    def reset(self, weights: Weights) -> None:
        self._begin()
        self.set_weights(weights)

    def get_weights(self) -> Weights:
        return {
            f"{layer.position}.{name}": value.astype(np.float32)
            for layer in self._layers
            for name, value in (layer.weights | layer.state).items()
        }

    def train_epoch(self, order: Order, masks: Masks | None = None) -> float:
        total, size = 0.0, self._job.batch_size
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            kept = (
                self._draw(len(batch))
                if masks is None
                else [mask[start : start + size] for mask in masks]
            )
            total += self._step(self._images[batch], self._labels[batch], kept) * len(batch)
        return total / len(order)

    def predict(self, images: Images) -> Logits:
        starts = range(0, len(images), PREDICTION_BATCH)
        parts = [self._forward(images[start : start + PREDICTION_BATCH], None) for start in starts]
        return np.concatenate(parts).astype(np.float32)  # (n, classes)

    def sync(self) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def device_memory(self) -> None:
        return None

    def settings(self) -> dict[str, str | int | bool | None]:
        return settings()

    def _begin(self) -> None:
        self._update = build_update(self._job.workload.optimizer)
        self._random = np.random.default_rng(self._job.seed)  # for dropout

    def _step(self, images: Images, labels: Labels, masks: Masks) -> float:
        logits = self._forward(images, masks)
        loss, gradient = loss_and_gradient(self._job.workload.loss, logits, labels)
        for layer in reversed(self._layers):
            gradient = layer.backward(gradient)
        for layer in self._layers:
            for name, value in layer.weights.items():
                key = f"{layer.position}.{name}"
                layer.weights[name] = self._update(key, value, layer.gradients[name])
        return loss

    def _forward(self, images: Images, masks: Masks | None) -> np.ndarray:
        x, remaining = images.astype(float), iter(masks or ())
        for layer in self._layers:
            x = layer.forward(
                x, next(remaining, None) if layer.drops else None, training=masks is not None
            )
        return x

    def _draw(self, examples: int) -> Masks:
        dropouts = [layer for layer in self._layers if layer.drops]
        return [self._random.random((examples, *layer.shape)) >= layer.rate for layer in dropouts]
