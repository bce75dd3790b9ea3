"""The reference's activations and losses, each with its derivative, in float64."""

from __future__ import annotations

import numpy as np

from specs.model import LEAKY_SLOPE, Activation, Loss

Array = np.ndarray


def activate(activation: Activation, z: Array) -> Array:
    """The activation of z."""
    match activation:
        case "relu":
            return np.maximum(z, 0.0)
        case "leaky_relu":
            return np.where(z > 0.0, z, LEAKY_SLOPE * z)
        case "elu":
            return np.where(z > 0.0, z, np.expm1(np.minimum(z, 0.0)))
        case "softplus":
            return np.logaddexp(z, 0.0)
        case "sigmoid":
            return 0.5 * (1.0 + np.tanh(0.5 * z))  # does not overflow
        case "tanh":
            return np.tanh(z)
        case "linear":
            return z


def slope(activation: Activation, y: Array) -> Array:
    """The activation's derivative, computed from its value y; relu's derivative at 0 is 0."""
    match activation:
        case "relu":
            return (y > 0.0).astype(np.float64)
        case "leaky_relu":
            return np.where(y > 0.0, 1.0, LEAKY_SLOPE)
        case "elu":
            return np.where(y > 0.0, 1.0, y + 1.0)
        case "softplus":
            return -np.expm1(-y)
        case "sigmoid":
            return y * (1.0 - y)
        case "tanh":
            return 1.0 - y * y
        case "linear":
            return np.ones_like(y)


def loss_and_gradient(loss: Loss, logits: Array, labels: Array) -> tuple[float, Array]:
    """The loss, mean over the batch, and its derivative (n, classes) with respect to the logits."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    probabilities = np.exp(log_probabilities)
    errors = probabilities.copy()
    errors[rows, labels] -= 1.0
    match loss:
        case "softmax_cross_entropy":
            return float(-log_probabilities[rows, labels].mean()), errors / len(labels)
        case "mean_squared_error":
            mean_error = (errors * probabilities).sum(axis=1, keepdims=True)
            weighted = probabilities * (errors - mean_error)
            return float((errors**2).mean()), 2.0 * weighted / errors.size
