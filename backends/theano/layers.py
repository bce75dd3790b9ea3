"""A workload's model and loss as functions of Theano's symbolic variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from backends.theano.framework import tensor
from backends.theano.pool import max_pool
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
from specs.shapes import LayerShape, infer_shapes, same_padding

_DTYPE = "float32"
_STREAMS = 60 * 256  # of random numbers of a dropout layer, Theano's own number for large arrays


class Forward(NamedTuple):
    """The symbolic results of a model.

    Attributes:
        logits: (n, classes).
        state: name -> batch norm's new running mean or variance; empty in prediction.
        masks: the values that each dropout layer keeps, 1 or 0, (n, *shape); empty in prediction.
    """

    logits: Any
    state: dict[str, Any]
    masks: list[Any]


def relu(x: Any) -> Any:
    """`max(x, 0)` with the derivative 0 at 0; that of Theano's `nnet.relu` is 0.5.

    On a CPU the product takes a third of the time of `switch(x > 0, x, 0)`, and NaN stays NaN.
    """
    return x * (x > 0)


def leaky_relu(x: Any) -> Any:
    """Relu with a slope below 0, which is also the derivative at 0; Theano's is between the two."""
    return tensor.switch(x > 0, x, LEAKY_SLOPE * x)


def elu(x: Any) -> Any:
    """`exp(x) - 1` below 0; the gradient of Theano's `nnet.elu` is NaN above 88."""
    return tensor.switch(x > 0, x, tensor.expm1(tensor.minimum(x, 0)))


_ACTIVATIONS: Mapping[str, Callable[[Any], Any]] = {
    "linear": lambda x: x,
    "relu": relu,
    "leaky_relu": leaky_relu,
    "elu": elu,
    "softplus": tensor.nnet.softplus,
    "sigmoid": tensor.nnet.sigmoid,
    "tanh": tensor.tanh,
}


def forward(
    workload: Workload, values: Mapping[str, Any], x: Any, random: Any, *, training: bool
) -> Forward:
    """The model.

    Args:
        workload: the model.
        values: weights and state by canonical name, in Theano's layout, see `backends.layout`.
        x: images (n, channels, height, width).
        random: a `MRG_RandomStreams`, which draws what dropout keeps.
        training: whether this is a training step.
    """
    state: dict[str, Any] = {}
    masks: list[Any] = []
    for shape in infer_shapes(workload):
        weights = [values[name] for name in shape.parameters | shape.state]
        match shape.layer:
            case Dense(activation=activation):
                x = _ACTIVATIONS[activation](tensor.dot(x, weights[0]) + weights[1])
            case Conv2d(activation=activation) as spec:
                x = _ACTIVATIONS[activation](_convolve(shape, spec, x, *weights))
            case MaxPool2d(pool_size=window):
                x = max_pool(x, window)
            case AvgPool2d(pool_size=window):
                x = tensor.signal.pool.pool_2d(
                    x, window, ignore_border=True, mode="average_exc_pad"
                )
            case BatchNorm() as spec:
                x, averages = _normalise(x, weights, spec, training=training)
                state |= dict(zip(shape.state, averages, strict=False))
            case Flatten():
                x = x.flatten(2)
            case Dropout(rate=rate) if training:
                masks.append(
                    random.binomial(x.shape, p=1.0 - rate, nstreams=_STREAMS, dtype=_DTYPE)
                )
                x = x * masks[-1] / (1.0 - rate)
    return Forward(x, state, masks)


def loss_of(workload: Workload, logits: Any, labels: Any) -> Any:
    """The workload's loss, mean over the batch, of logits (n, classes) and labels (n,)."""
    if workload.loss == "softmax_cross_entropy":
        return tensor.nnet.crossentropy_softmax_1hot(logits, labels)[0].mean()
    classes = tensor.extra_ops.to_one_hot(labels, workload.input.classes, dtype=_DTYPE)
    return tensor.sqr(tensor.nnet.softmax(logits) - classes).mean()


def _convolve(shape: LayerShape, spec: Conv2d, x: Any, kernel: Any, bias: Any) -> Any:
    """A cross-correlation plus the bias; Theano's `conv2d` would flip the kernel."""
    sizes = zip(shape.input[:2], spec.kernel_size, spec.strides, strict=True)
    padding = tuple(same_padding(*size) if spec.padding == "same" else (0, 0) for size in sizes)
    product = tensor.nnet.conv2d(
        x, kernel, border_mode=padding, subsample=spec.strides, filter_flip=False
    )
    return product + bias.dimshuffle("x", 0, "x", "x")


def _normalise(
    x: Any, values: list[Any], spec: BatchNorm, *, training: bool
) -> tuple[Any, tuple[Any, ...]]:
    """The output of batch norm, and in training the new running mean and running variance.

    In training, x is normalised by the batch's mean and biased variance. In prediction, x is
    normalised by the running values, and the second result is empty. Theano's own batch norm
    averages the unbiased variance, and refuses an epsilon below 1e-5.
    """
    scale, shift, mean, variance = values
    averages: tuple[Any, ...] = ()
    if training:
        axes, old = (0, *range(2, x.ndim)), (mean, variance)
        mean, variance = x.mean(axes), x.var(axes)
        averages = tuple(
            spec.momentum * running + (1.0 - spec.momentum) * value
            for running, value in zip(old, (mean, variance), strict=True)
        )
    per_channel = ("x", 0, *("x" for _ in range(2, x.ndim)))
    factor, shift, mean = (
        vector.dimshuffle(*per_channel)
        for vector in (scale / tensor.sqrt(variance + spec.epsilon), shift, mean)
    )
    return (x - mean) * factor + shift, averages
