"""The reference: trains every workload in plain NumPy, in float64.

It is slow. Its code follows the formulas in `specs.model` line by line.
"""

from __future__ import annotations

import numpy as np

from backends.contract import (
    PREDICTION_BATCH,
    Images,
    Job,
    Labels,
    Logits,
    Masks,
    Order,
    Unsupported,
    Weights,
)
from backends.precision import refuse_gaps
from backends.reference.family import FAMILY
from backends.reference.functions import loss_and_gradient
from backends.reference.layers import ReferenceLayer, build_layers
from backends.reference.updates import Update, build_update


class Reference:
    """Trains and predicts layer by layer, by the definitions in `specs.model`."""

    def __init__(self, job: Job) -> None:
        if job.device != "cpu":
            raise Unsupported("the reference runs on the CPU only")
        refuse_gaps(job, FAMILY)
        if job.compiled or job.mode != "matched":
            raise Unsupported("the reference computes in float64, uncompiled, in matched mode")
        self._job = job
        self._layers: list[ReferenceLayer] = build_layers(job.workload)
        self._begin()

    def load(self, images: Images, labels: Labels) -> None:
        self._images, self._labels = images, labels

    def set_weights(self, weights: Weights) -> None:
        for layer in self._layers:
            for tensors in (layer.weights, layer.state):
                for name in tensors:
                    tensors[name] = weights[f"{layer.position}.{name}"].astype(np.float64)

    def reset(self, weights: Weights) -> None:
        self._begin()
        self.set_weights(weights)

    def get_weights(self) -> Weights:
        return {name: value.astype(np.float32) for name, value in self.exact_weights().items()}

    def exact_weights(self) -> dict[str, np.ndarray]:
        """The current weights in float64."""
        return {
            f"{layer.position}.{name}": value.copy()
            for layer in self._layers
            for name, value in (layer.weights | layer.state).items()
        }

    def train_epoch(self, order: Order, masks: Masks | None = None) -> float:
        total, size = 0.0, self._job.batch_size
        for start in range(0, len(order), size):
            batch = order[start : start + size]
            kept = [mask[start : start + size] for mask in masks] if masks is not None else None
            total += self._train_step(batch, kept) * len(batch)
        return total / len(order)

    def predict(self, images: Images) -> Logits:
        return self.exact_logits(images).astype(np.float32)

    def exact_logits(self, images: Images) -> np.ndarray:
        """Logits (n, classes) in float64."""
        batches = [
            images[start : start + PREDICTION_BATCH]
            for start in range(0, len(images), PREDICTION_BATCH)
        ]
        return np.concatenate([self._forward(batch, None) for batch in batches])

    def sync(self) -> None:
        """Do nothing: NumPy has finished a call when it returns."""

    def device_memory(self) -> None:
        return None

    def settings(self) -> dict[str, str | int | bool | None]:
        return {"dtype": "float64", "compiled": False, "device": "cpu"}

    def _begin(self) -> None:
        self._update: Update = build_update(self._job.workload.optimizer)
        self._random = np.random.RandomState(self._job.seed)  # for dropout without given masks

    def _train_step(self, batch: Order, masks: list[np.ndarray] | None) -> float:
        logits = self._forward(
            self._images[batch], self._draw(len(batch)) if masks is None else masks
        )
        loss, gradient = self._loss(logits, self._labels[batch])
        for layer in reversed(self._layers):
            gradient = layer.backward(gradient)
        for layer in self._layers:
            for name, value in layer.weights.items():
                key = f"{layer.position}.{name}"
                layer.weights[name] = self._update(key, value, layer.gradients[name])
        return loss

    def _loss(self, logits: np.ndarray, labels: Labels) -> tuple[float, np.ndarray]:
        return loss_and_gradient(self._job.workload.loss, logits, labels)

    def _forward(self, images: Images, masks: list[np.ndarray] | None) -> np.ndarray:
        """Logits (n, classes) of images.

        In a training step there is one mask per dropout layer; in prediction `masks` is None.
        """
        x, remaining = images.astype(np.float64), iter(masks or ())
        for layer in self._layers:
            x = layer.forward(
                x, next(remaining, None) if layer.drops else None, training=masks is not None
            )
        return x

    def _draw(self, examples: int) -> list[np.ndarray]:
        """The values that dropout keeps, one array (examples, *layer shape) per dropout layer."""
        return [
            self._random.random_sample((examples, *layer.shape)) >= layer.rate
            for layer in self._layers
            if layer.drops
        ]
