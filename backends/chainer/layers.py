"""A workload's layers as Chainer's links and functions, the place of each weight, and its loss."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import chainer
import numpy as np
from chainer import functions, links

from specs.model import (
    LEAKY_SLOPE,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    MaxPool2d,
    Workload,
)
from specs.shapes import LayerShape, Shape, infer_shapes, same_padding

# A link, or a function of one array or variable.
_Layer = Callable[[Any], Any]

_ACTIVATIONS: dict[str, _Layer] = {
    "relu": functions.relu,
    "leaky_relu": partial(functions.leaky_relu, slope=LEAKY_SLOPE),
    "elu": functions.elu,
    "softplus": functions.softplus,
    "sigmoid": functions.sigmoid,
    "tanh": functions.tanh,
}


class Model(chainer.Sequential):
    """The workload's layers.

    Chainer flattens an image channel first, so the weights of the next layer have another order
    than in the canonical layout (see `backends.layout`).

    Attributes:
        places: canonical name of a weight -> its link, the name of its array in the link, and the
            shape of the image that was flattened just before the weight, or None.
        dropouts: the dropout layers, in layer order.
    """

    def __init__(self, workload: Workload) -> None:
        super().__init__()
        self.places: dict[str, tuple[chainer.Link, str, Shape | None]] = {}
        self.dropouts: list[MaskableDropout] = []
        for shape in infer_shapes(workload):
            for layer in self._build(shape):
                self.append(layer)

    def arrays(self) -> Iterator[tuple[str, np.ndarray, Shape | None]]:
        """Name, own array and flattened image (see `places`) of every weight and state."""
        for name, (link, attribute, image) in self.places.items():
            found = getattr(link, attribute)
            yield name, found.array if isinstance(found, chainer.Parameter) else found, image

    def _build(self, shape: LayerShape) -> Iterator[_Layer]:
        match shape.layer:
            case Dense(units=units, activation=activation):
                yield self._register(shape, links.Linear(shape.input[0], units))
                yield from _activation(activation)
            case Conv2d(activation=activation):
                padding, convolution = _convolution(shape, shape.layer)
                yield from padding
                yield self._register(shape, convolution)
                yield from _activation(activation)
            case MaxPool2d(pool_size=pool_size):
                # Unless told, Chainer keeps a partial window at the edge.
                yield partial(functions.max_pooling_2d, ksize=pool_size, cover_all=False)
            case AvgPool2d(pool_size=pool_size):
                yield partial(functions.average_pooling_2d, ksize=pool_size)
            case BatchNorm(momentum=momentum, epsilon=epsilon):
                link = BiasedBatchNorm(shape.output[-1], decay=momentum, eps=epsilon)
                attributes = ("gamma", "beta", "avg_mean", "avg_var")
                for name, attribute in zip(shape.parameters | shape.state, attributes, strict=True):
                    self.places[name] = link, attribute, shape.flattened
                yield link
            case Flatten():
                yield flatten
            case Dropout(rate=rate):
                self.dropouts.append(MaskableDropout(rate, shape.flattened))
                yield self.dropouts[-1]

    def _register(self, shape: LayerShape, link: chainer.Link) -> chainer.Link:
        """Add kernel and bias of a link to `places`."""
        kernel, bias = shape.parameters
        self.places |= {kernel: (link, "W", shape.flattened), bias: (link, "b", None)}
        return link


def flatten(x: Any) -> Any:
    """Images as vectors, one per example; Chainer's own `flatten` makes one vector of them all."""
    return x.reshape(len(x), -1)


class MaskableDropout:
    """Chainer's dropout; in `bench verify` Chainer applies a given mask.

    Attributes:
        rate: the fraction that is dropped.
        image: the shape of the image that was flattened before it, or None.
        mask: 0 where a value is dropped, else 1 / (1 - rate), as Chainer itself draws it; None for
            a mask of Chainer's own in each step.
    """

    def __init__(self, rate: float, image: Shape | None) -> None:
        self.rate, self.image = rate, image
        self.mask: np.ndarray | None = None

    def __call__(self, x: Any) -> Any:
        return functions.dropout(x, self.rate, mask=self.mask)

    def keep(self, kept: np.ndarray | None) -> None:
        """Use a mask (n, *shape) of booleans in the next step; None for Chainer's own masks."""
        self.mask = None if kept is None else kept * np.float32(1.0 / (1.0 - self.rate))


class BiasedBatchNorm(links.BatchNormalization):
    """Chainer's batch norm, with a running variance that averages the biased variance.

    Chainer's own link averages the unbiased variance.
    """

    def forward(self, x: Any) -> Any:
        if not chainer.config.train:
            return super().forward(x)
        # With a decay of 0 Chainer writes the batch's mean and unbiased variance to these arrays.
        mean, variance = np.zeros_like(self.avg_mean), np.zeros_like(self.avg_var)
        y = functions.batch_normalization(
            x,
            self.gamma,
            self.beta,
            eps=self.eps,
            running_mean=mean,
            running_var=variance,
            decay=0.0,
        )
        count = x.size // mean.size
        new = 1.0 - self.decay
        self.avg_mean *= self.decay
        self.avg_mean += new * mean
        self.avg_var *= self.decay
        self.avg_var += (new * max(count - 1, 1) / count) * variance
        return y


def build_loss(workload: Workload) -> Callable[[Any, np.ndarray], chainer.Variable]:
    """The workload's loss of logits (n, classes) and labels (n,), mean over the batch."""
    if workload.loss == "softmax_cross_entropy":
        return functions.softmax_cross_entropy
    one_hot = np.eye(workload.input.classes, dtype=np.float32)

    def quadratic(logits: chainer.Variable, labels: np.ndarray) -> chainer.Variable:
        return functions.mean_squared_error(functions.softmax(logits), one_hot[labels])

    return quadratic


def _activation(name: str) -> Iterator[_Layer]:
    if name != "linear":
        yield _ACTIVATIONS[name]


def _convolution(shape: LayerShape, spec: Conv2d) -> tuple[list[_Layer], chainer.Link]:
    """The functions before a convolution, and the convolution.

    A padding comes before it if the padding of two opposite sides differs, as Chainer's convolution
    cannot do that.
    """
    sizes = zip(shape.input[:2], spec.kernel_size, spec.strides, strict=True)
    rows, columns = (same_padding(*size) if spec.padding == "same" else (0, 0) for size in sizes)
    is_symmetric = rows[0] == rows[1] and columns[0] == columns[1]
    width = ((0, 0), (0, 0), rows, columns)
    return (
        [] if is_symmetric else [partial(functions.pad, pad_width=width, mode="constant")],
        links.Convolution2D(
            shape.input[2],
            spec.filters,
            spec.kernel_size,
            stride=spec.strides,
            pad=(rows[0], columns[0]) if is_symmetric else 0,
        ),
    )
