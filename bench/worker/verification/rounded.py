"""The reference with the rounding errors of a lower precision: how far a correct result may be off.

It gives only tolerances: results are compared with the reference in float64.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from msgspec.structs import replace

from backends.contract import Images, Job, Order
from backends.reference.layers import DenseLayer, FlattenLayer, MaxPoolLayer, ReferenceLayer
from backends.reference.oracle import Reference
from bench.worker.verification import tolerances


def on_cpu(job: Job) -> Job:
    """The job in the form that the reference accepts: on a CPU, in float32, in matched mode."""
    return replace(job, device="cpu", compiled=False, precision="float32", mode="matched")


def cut(values: np.ndarray, bits: int) -> np.ndarray:
    """The values, each rounded to the nearest number with `bits` bits."""
    fraction, exponent = np.frexp(values)
    rounded: np.ndarray = np.ldexp(np.round(fraction * 2.0**bits) / 2.0**bits, exponent)
    return rounded


class Rounded(Reference):
    """The reference that rounds the factors of all products, as mixed precision does.

    Images, weights, each layer's output and all gradients are rounded. A framework rounds an output
    up to three times (product, bias, activation). So a random error of up to one rounding is added
    before each rounding; several runs show how much such errors change a result. Loss, statistics
    of batch norm, updates and the stored weights are exact, as they stay in float32.

    Args:
        job: its precision says how many bits are kept.
        random: draws the errors.
    """

    def __init__(self, job: Job, random: np.random.RandomState) -> None:
        self._bits, self._errors = tolerances.BITS[job.precision], random
        super().__init__(on_cpu(job))

    def _train_step(self, batch: Order, masks: list[np.ndarray] | None) -> float:
        with self._rounded_weights():
            drawn = self._draw(len(batch)) if masks is None else masks
            logits = self._layer_by_layer(self._images[batch], drawn)
            loss, gradient = self._loss(logits, self._labels[batch])
            gradient = self._rounded(gradient)
            for layer in reversed(self._layers):
                gradient = self._of(layer, layer.backward(gradient))
        for layer in self._layers:
            for name, value in layer.weights.items():
                gradient = self._rounded(layer.gradients[name])
                layer.weights[name] = self._update(f"{layer.position}.{name}", value, gradient)
        return loss

    def _forward(self, images: Images, masks: list[np.ndarray] | None) -> np.ndarray:
        with self._rounded_weights():
            return self._layer_by_layer(images, masks)

    def _layer_by_layer(self, images: Images, masks: list[np.ndarray] | None) -> np.ndarray:
        x, remaining = cut(images.astype(np.float64), self._bits), iter(masks or ())
        for layer in self._layers:
            mask = next(remaining, None) if layer.drops else None
            x = self._of(layer, layer.forward(x, mask, training=masks is not None))
            if isinstance(layer, DenseLayer):
                layer.y = x  # the derivative of the activation is computed from it
        return x

    @contextmanager
    def _rounded_weights(self) -> Iterator[None]:
        exact = [layer.weights for layer in self._layers]
        for layer in self._layers:
            layer.weights = {name: cut(v, self._bits) for name, v in layer.weights.items()}
        try:
            yield
        finally:
            for layer, weights in zip(self._layers, exact, strict=True):
                layer.weights = weights

    def _of(self, layer: ReferenceLayer, values: np.ndarray) -> np.ndarray:
        """A layer's output, rounded unless the layer only moves values."""
        moves = isinstance(layer, FlattenLayer | MaxPoolLayer)
        return values if moves else self._rounded(values)

    def _rounded(self, values: np.ndarray) -> np.ndarray:
        errors = self._errors.uniform(-1.0, 1.0, values.shape)
        return cut(values * (1.0 + 2.0**-self._bits * errors), self._bits)
