"""`MLPClassifier` with what the bench needs of it: logits, an exact loss, and given weights."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np
from sklearn.neural_network import MLPClassifier
from sklearn.neural_network._stochastic_optimizers import BaseOptimizer

from backends.contract import PREDICTION_BATCH, Weights
from backends.sklearn.structure import structure_of
from backends.sklearn.updates import StillOptimizer
from specs.model import Workload
from specs.shapes import infer_shapes

# scikit-learn's loss clips probabilities at this value.
_CLIPPED = np.finfo(np.float32).eps


class Network(MLPClassifier):
    """`MLPClassifier` that also returns logits, and whose loss is exact.

    The gradient is scikit-learn's: it is computed from the probabilities before they are clipped.
    """

    def begin(self, pixels: int, classes: int) -> None:
        """Draw scikit-learn's initial weights in float32; the next call builds an optimizer."""
        self._optimizer = StillOptimizer()
        image = np.zeros((1, pixels), np.float32)
        self.partial_fit(image, np.zeros(1, np.int64), classes=np.arange(classes))
        del self._optimizer

    def optimize_by(self, optimizer: BaseOptimizer) -> None:
        """Train by this optimizer from now on."""
        self._optimizer = optimizer
        self.loss_curve_: list[float] = []

    def logits(self, rows: np.ndarray) -> np.ndarray:
        """The logits (n, classes) of images as rows (n, pixels)."""
        # What scikit-learn calls the output activation turns logits into probabilities.
        self.out_activation_ = "identity"
        try:
            parts = [
                self._forward_pass_fast(rows[start : start + PREDICTION_BATCH], check_input=False)
                for start in range(0, len(rows), PREDICTION_BATCH)
            ]
        finally:
            self.out_activation_ = "softmax"
        return np.concatenate(parts)

    def _backprop(self, X: np.ndarray, y: np.ndarray, *rest: Any) -> tuple[float, Any, Any]:  # noqa: N803 - scikit-learn's name
        """The loss of a batch and its gradients, where y (n, classes) is one-hot, of booleans.

        scikit-learn's loss is at most 15.9, as it clips probabilities. Where it has clipped one,
        the loss is computed from the logits. It is a Python float, so that the sum over an epoch is
        in float64.
        """
        loss, *gradients = super()._backprop(X, y, *rest)
        activations = next(each for each in rest if isinstance(each, list))
        if activations[-1][y].min() < _CLIPPED:
            logits = activations[-2] @ self.coefs_[-1] + self.intercepts_[-1]
            shifted = logits - logits.max(axis=1, keepdims=True)
            loss = np.mean(np.log(np.exp(shifted).sum(axis=1)) - shifted[y])
        return float(loss), gradients[0], gradients[1]


def build(workload: Workload, **options: Any) -> Network:
    """A network with scikit-learn's initial weights in float32, and without an optimizer.

    Args:
        workload: the workload.
        options: further arguments of `MLPClassifier`.

    Raises:
        Unsupported: scikit-learn does not have such a model.
    """
    structure = structure_of(workload)
    network = Network(
        hidden_layer_sizes=structure.hidden_layer_sizes,
        activation=structure.activation,
        batch_size=1,
        **options,
    )
    network.begin(prod(workload.input.shape), structure.classes)
    return network


def names_of(workload: Workload) -> list[str]:
    """The canonical names of all weights, kernel and bias of each layer."""
    return [name for shape in infer_shapes(workload) for name in shape.parameters]


def tensors(network: Network, workload: Workload) -> dict[str, np.ndarray]:
    """The network's own arrays by their canonical names; kernels are (in, out), as in workloads."""
    pairs = zip(network.coefs_, network.intercepts_, strict=True)
    arrays = (array for pair in pairs for array in pair)
    return dict(zip(names_of(workload), arrays, strict=True))


def write_weights(network: Network, workload: Workload, weights: Weights) -> None:
    """Set the weights, in the network's own arrays."""
    for name, array in tensors(network, workload).items():
        array[...] = weights[name]


def is_finite(network: Network) -> bool:
    """Whether all weights are finite numbers."""
    return all(np.isfinite(array).all() for array in (*network.coefs_, *network.intercepts_))


def as_rows(images: np.ndarray) -> np.ndarray:
    """Images (n, height, width, channels) as rows (n, pixels), without a copy."""
    return images.reshape(len(images), -1)
