"""The reference's layers and loss: each forward pass with its derivative, in float64."""

from __future__ import annotations

import numpy as np

from specs.model import Activation, Conv2d, Dense, Dropout, Flatten, MaxPool2d, Workload
from specs.shapes import LayerShape, infer_shapes

Array = np.ndarray


class ReferenceLayer:
    """A layer without weights that passes its input on; the others replace what they need.

    `backward` takes d loss / d output, keeps d loss / d weight in `gradients`, and returns d loss / d input.
    """

    drops = False

    def __init__(self, shape: LayerShape) -> None:
        self.position, self.shape = shape.position, shape.output
        self.weights: dict[str, Array] = {}
        self.gradients: dict[str, Array] = {}
        self.rate = 0.0

    def forward(self, x: Array, mask: Array | None) -> Array:
        del mask
        return x

    def backward(self, gradient: Array) -> Array:
        return gradient


class DenseLayer(ReferenceLayer):
    """y = activation(x @ kernel + bias)."""

    def __init__(self, shape: LayerShape, activation: Activation) -> None:
        super().__init__(shape)
        self.weights = {name.partition(".")[2]: np.zeros(size) for name, size in shape.parameters.items()}
        self.activation = activation

    def forward(self, x: Array, mask: Array | None) -> Array:
        del mask
        self.x = x
        self.y = activate(self.activation, self.product(x) + self.weights["bias"])
        return self.y

    def backward(self, gradient: Array) -> Array:
        gradient = gradient * slope(self.activation, self.y)
        self.gradients = {
            "kernel": self.kernel_gradient(gradient),
            "bias": gradient.sum(tuple(range(gradient.ndim - 1))),
        }
        return self.input_gradient(gradient)

    def product(self, x: Array) -> Array:
        return x @ self.weights["kernel"]

    def kernel_gradient(self, gradient: Array) -> Array:
        return self.x.T @ gradient

    def input_gradient(self, gradient: Array) -> Array:
        return gradient @ self.weights["kernel"].T


class ConvolutionLayer(DenseLayer):
    """The same with a cross-correlation for the product: y[i, j] = sum over a, b of x[i + a, j + b] @ kernel[a, b]."""

    def product(self, x: Array) -> Array:
        kernel = self.weights["kernel"]  # (height, width, in, out)
        windows = np.lib.stride_tricks.sliding_window_view(x, kernel.shape[:2], axis=(1, 2))  # (n, i, j, in, a, b)
        return np.tensordot(windows, kernel, axes=((4, 5, 3), (0, 1, 2)))  # (n, i, j, out)

    def kernel_gradient(self, gradient: Array) -> Array:
        size = self.weights["kernel"].shape[:2]
        windows = np.lib.stride_tricks.sliding_window_view(self.x, size, axis=(1, 2))
        return np.tensordot(windows, gradient, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)

    def input_gradient(self, gradient: Array) -> Array:
        kernel, out = self.weights["kernel"], np.zeros_like(self.x)
        height, width = gradient.shape[1:3]
        for a in range(kernel.shape[0]):
            for b in range(kernel.shape[1]):
                out[:, a : a + height, b : b + width] += gradient @ kernel[a, b].T
        return out


class MaxPoolLayer(ReferenceLayer):
    """The largest of each window; the first of equals takes the gradient."""

    def __init__(self, shape: LayerShape, pool_size: tuple[int, int]) -> None:
        super().__init__(shape)
        self.pool_size = pool_size

    def forward(self, x: Array, mask: Array | None) -> Array:
        del mask
        (height, width, channels), (a, b) = self.shape, self.pool_size
        self.input_shape = x.shape
        windows = x[:, : height * a, : width * b].reshape(-1, height, a, width, b, channels)
        windows = windows.transpose(0, 1, 3, 5, 2, 4).reshape(-1, height, width, channels, a * b)
        self.first = windows.argmax(axis=-1)[..., None]  # (n, height, width, channels, 1)
        return np.take_along_axis(windows, self.first, axis=-1)[..., 0]

    def backward(self, gradient: Array) -> Array:
        (height, width, channels), (a, b) = self.shape, self.pool_size
        windows = np.zeros((*gradient.shape, a * b))
        np.put_along_axis(windows, self.first, gradient[..., None], axis=-1)
        windows = windows.reshape(-1, height, width, channels, a, b).transpose(0, 1, 4, 2, 5, 3)
        out = np.zeros(self.input_shape)
        out[:, : height * a, : width * b] = windows.reshape(-1, height * a, width * b, channels)
        return out


class FlattenLayer(ReferenceLayer):
    """(n, height, width, channels) as (n, height * width * channels)."""

    def forward(self, x: Array, mask: Array | None) -> Array:
        del mask
        self.input_shape = x.shape
        return x.reshape(len(x), -1)

    def backward(self, gradient: Array) -> Array:
        return gradient.reshape(self.input_shape)


class DropoutLayer(ReferenceLayer):
    """x * mask / (1 - rate); without a mask, x."""

    drops = True

    def __init__(self, shape: LayerShape, rate: float) -> None:
        super().__init__(shape)
        self.rate = rate

    def forward(self, x: Array, mask: Array | None) -> Array:
        self.scale = 1.0 if mask is None else mask / (1.0 - self.rate)
        return x * self.scale

    def backward(self, gradient: Array) -> Array:
        return gradient * self.scale


def build_layers(workload: Workload) -> list[ReferenceLayer]:
    """The workload's layers, weights at 0."""
    return [_build(shape) for shape in infer_shapes(workload)]


def _build(shape: LayerShape) -> ReferenceLayer:
    match shape.layer:
        case Dense(activation=activation):
            return DenseLayer(shape, activation)
        case Conv2d(activation=activation):
            return ConvolutionLayer(shape, activation)
        case MaxPool2d(pool_size=pool_size):
            return MaxPoolLayer(shape, pool_size)
        case Flatten():
            return FlattenLayer(shape)
        case Dropout(rate=rate):
            return DropoutLayer(shape, rate)


def activate(activation: Activation, z: Array) -> Array:
    """The activation of z."""
    match activation:
        case "relu":
            return np.maximum(z, 0.0)
        case "sigmoid":
            return 0.5 * (1.0 + np.tanh(0.5 * z))  # does not overflow
        case "tanh":
            return np.tanh(z)
        case "linear":
            return z


def slope(activation: Activation, y: Array) -> Array:
    """The activation's derivative, from its value y; relu's is 0 at 0."""
    match activation:
        case "relu":
            return (y > 0.0).astype(np.float64)
        case "sigmoid":
            return y * (1.0 - y)
        case "tanh":
            return 1.0 - y * y
        case "linear":
            return np.ones_like(y)


def cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Softmax cross-entropy, mean over the batch, and its derivative (n, classes) with respect to the logits."""
    rows = np.arange(len(labels))
    shifted = logits - logits.max(axis=1, keepdims=True)
    log_probabilities = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    gradient = np.exp(log_probabilities)
    gradient[rows, labels] -= 1.0
    return float(-log_probabilities[rows, labels].mean()), gradient / len(labels)
