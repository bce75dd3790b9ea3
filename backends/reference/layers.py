"""The reference's layers: the forward pass and the derivatives of each, in float64."""

from __future__ import annotations

import numpy as np

from backends.reference.functions import activate, slope
from specs.model import (
    Activation,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Workload,
)
from specs.shapes import LayerShape, infer_shapes, same_padding

Array = np.ndarray


class ReferenceLayer:
    """The base of all layers: it has no weights and returns its input.

    The argument `mask` of `forward` contains the values that a dropout layer keeps in a training
    step; it is None in prediction and for other layers. `backward` takes d loss / d output, stores
    d loss / d weight in `gradients`, and returns d loss / d input.
    """

    drops = False

    def __init__(self, shape: LayerShape) -> None:
        self.position, self.shape = shape.position, shape.output
        self.weights: dict[str, Array] = {
            name.partition(".")[2]: np.zeros(size) for name, size in shape.parameters.items()
        }
        self.state: dict[str, Array] = {
            name.partition(".")[2]: np.zeros(size) for name, size in shape.state.items()
        }
        self.gradients: dict[str, Array] = {}
        self.rate = 0.0

    def forward(self, x: Array, mask: Array | None, *, training: bool) -> Array:
        del mask, training
        return x

    def backward(self, gradient: Array) -> Array:
        return gradient


class DenseLayer(ReferenceLayer):
    """y = activation(x @ kernel + bias)."""

    def __init__(self, shape: LayerShape, activation: Activation) -> None:
        super().__init__(shape)
        self.activation = activation

    def forward(self, x: Array, mask: Array | None, *, training: bool) -> Array:
        del mask, training
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
    """A dense layer whose product is the cross-correlation of the padded image with the kernel.

    y[i, j] = sum over a, b of x[i stride + a, j stride + b] @ kernel[a, b].
    """

    def __init__(self, shape: LayerShape, spec: Conv2d) -> None:
        super().__init__(shape, spec.activation)
        self.strides = spec.strides
        self.height, self.width = shape.input[:2]
        sizes = zip(shape.input[:2], spec.kernel_size, spec.strides, strict=True)
        around = [same_padding(*size) if spec.padding == "same" else (0, 0) for size in sizes]
        self.padding = [(0, 0), *around, (0, 0)]

    def product(self, x: Array) -> Array:
        self.x = np.pad(x, self.padding)
        kernel = self.weights["kernel"]  # (height, width, in, out)
        # The result's axes are n, i, j, out.
        return np.tensordot(self._windows(kernel), kernel, axes=((4, 5, 3), (0, 1, 2)))

    def kernel_gradient(self, gradient: Array) -> Array:
        windows = self._windows(self.weights["kernel"])
        return np.tensordot(windows, gradient, axes=((0, 1, 2), (0, 1, 2))).transpose(1, 2, 0, 3)

    def input_gradient(self, gradient: Array) -> Array:
        kernel, out, (down, right) = self.weights["kernel"], np.zeros_like(self.x), self.strides
        height, width = gradient.shape[1] * down, gradient.shape[2] * right
        for a in range(kernel.shape[0]):
            for b in range(kernel.shape[1]):
                out[:, a : a + height : down, b : b + width : right] += gradient @ kernel[a, b].T
        (top, _), (left, _) = self.padding[1:3]
        return out[:, top : top + self.height, left : left + self.width]

    def _windows(self, kernel: Array) -> Array:
        """The windows of the padded image, (n, i, j, in, a, b)."""
        windows = np.lib.stride_tricks.sliding_window_view(self.x, kernel.shape[:2], axis=(1, 2))
        return windows[:, :: self.strides[0], :: self.strides[1]]


class PoolLayer(ReferenceLayer):
    """The base of the pooling layers, whose windows do not overlap.

    `windows` returns the windows as rows (n, height, width, channels, window), without the partial
    windows at the edge. `images` is the inverse, with zeros in place of the partial windows.
    """

    def __init__(self, shape: LayerShape, pool_size: tuple[int, int]) -> None:
        super().__init__(shape)
        self.pool_size = pool_size

    def windows(self, x: Array) -> Array:
        (height, width, channels), (a, b) = self.shape, self.pool_size
        self.input_shape = x.shape
        windows = x[:, : height * a, : width * b].reshape(-1, height, a, width, b, channels)
        return windows.transpose(0, 1, 3, 5, 2, 4).reshape(-1, height, width, channels, a * b)

    def images(self, windows: Array) -> Array:
        (height, width, channels), (a, b) = self.shape, self.pool_size
        windows = windows.reshape(-1, height, width, channels, a, b).transpose(0, 1, 4, 2, 5, 3)
        out = np.zeros(self.input_shape)
        out[:, : height * a, : width * b] = windows.reshape(-1, height * a, width * b, channels)
        return out


class MaxPoolLayer(PoolLayer):
    """The maximum of each window; the first maximum of a window gets the gradient."""

    def forward(self, x: Array, mask: Array | None, *, training: bool) -> Array:
        del mask, training
        windows = self.windows(x)
        self.first = windows.argmax(axis=-1)[..., None]
        return np.take_along_axis(windows, self.first, axis=-1)[..., 0]

    def backward(self, gradient: Array) -> Array:
        windows = np.zeros((*gradient.shape, self.pool_size[0] * self.pool_size[1]))
        np.put_along_axis(windows, self.first, gradient[..., None], axis=-1)
        return self.images(windows)


class AveragePoolLayer(PoolLayer):
    """The mean of each window; each value gets an equal part of the gradient."""

    def forward(self, x: Array, mask: Array | None, *, training: bool) -> Array:
        del mask, training
        return self.windows(x).mean(axis=-1)

    def backward(self, gradient: Array) -> Array:
        size = self.pool_size[0] * self.pool_size[1]
        return self.images(np.repeat(gradient[..., None] / size, size, axis=-1))


class BatchNormLayer(ReferenceLayer):
    """scale (x - mean) / sqrt(variance + epsilon) + shift (Ioffe and Szegedy 2015).

    Mean and variance are taken over all axes except the last.
    """

    def __init__(self, shape: LayerShape, spec: BatchNorm) -> None:
        super().__init__(shape)
        self.spec = spec

    def forward(self, x: Array, mask: Array | None, *, training: bool) -> Array:
        del mask
        axes = tuple(range(x.ndim - 1))
        if training:
            mean, variance = x.mean(axes), x.var(axes)  # biased
            for name, value in (("mean", mean), ("variance", variance)):
                self.state[name] = (
                    self.spec.momentum * self.state[name] + (1.0 - self.spec.momentum) * value
                )
        else:
            mean, variance = self.state["mean"], self.state["variance"]
        self.deviation = np.sqrt(variance + self.spec.epsilon)
        self.normal = (x - mean) / self.deviation
        return self.weights["scale"] * self.normal + self.weights["shift"]

    def backward(self, gradient: Array) -> Array:
        axes = tuple(range(gradient.ndim - 1))
        self.gradients = {"scale": (gradient * self.normal).sum(axes), "shift": gradient.sum(axes)}
        centred = gradient - gradient.mean(axes) - self.normal * (gradient * self.normal).mean(axes)
        return self.weights["scale"] / self.deviation * centred


class FlattenLayer(ReferenceLayer):
    """(n, height, width, channels) as (n, height * width * channels)."""

    def forward(self, x: Array, mask: Array | None, *, training: bool) -> Array:
        del mask, training
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

    def forward(self, x: Array, mask: Array | None, *, training: bool) -> Array:
        del training
        self.scale = 1.0 if mask is None else mask / (1.0 - self.rate)
        return x * self.scale

    def backward(self, gradient: Array) -> Array:
        return gradient * self.scale


def build_layers(workload: Workload) -> list[ReferenceLayer]:
    """The workload's layers, with all weights 0."""
    return [_build(shape) for shape in infer_shapes(workload)]


def _build(shape: LayerShape) -> ReferenceLayer:
    match shape.layer:
        case Dense(activation=activation):
            return DenseLayer(shape, activation)
        case Conv2d():
            return ConvolutionLayer(shape, shape.layer)
        case MaxPool2d(pool_size=pool_size):
            return MaxPoolLayer(shape, pool_size)
        case AvgPool2d(pool_size=pool_size):
            return AveragePoolLayer(shape, pool_size)
        case BatchNorm():
            return BatchNormLayer(shape, shape.layer)
        case Flatten():
            return FlattenLayer(shape)
        case Dropout(rate=rate):
            return DropoutLayer(shape, rate)
