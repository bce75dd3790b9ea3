"""A workload's model, loss and dropout as pure functions of JAX arrays."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import jax
from jax import Array, lax, nn
from jax import numpy as jnp

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
from specs.shapes import infer_shapes

Values = Mapping[str, Array]
Pool = Callable[[Array, tuple[int, int]], Array]
_ACTIVATIONS: Mapping[str, Callable[[Array], Array]] = {
    "linear": lambda x: x,
    "relu": nn.relu,
    "leaky_relu": partial(nn.leaky_relu, negative_slope=LEAKY_SLOPE),
    "elu": nn.elu,
    "softplus": nn.softplus,
    "sigmoid": nn.sigmoid,
    "tanh": jnp.tanh,
}


def max_pool(x: Array, window: tuple[int, int]) -> Array:
    """The maximum in each window of images (n, height, width, channels); windows do not overlap."""
    size = (1, *window, 1)
    return lax.reduce_window(x, -jnp.inf, lax.max, size, size, "VALID")


def forward(
    workload: Workload,
    values: Values,
    x: Array,
    kept: list[Array],
    *,
    training: bool,
    kind: type = jnp.float32,
    pool: Pool = max_pool,
) -> tuple[Array, dict[str, Array]]:
    """Logits (n, classes) of images (n, height, width, channels), and batch norm's new state.

    Both are float32.

    Args:
        workload: the model.
        values: weights and state by canonical name, in canonical layout, which is JAX's own.
        x: the images.
        kept: the values that each dropout layer keeps, (n, *shape) booleans, in layer order; empty
            in prediction.
        training: whether this is a training step.
        kind: the type of the factors of products, and of the values between layers. Batch norm
            computes in float32.
        pool: computes max pooling.
    """
    state: dict[str, Array] = {}
    masks, x = iter(kept), x.astype(kind)
    for shape in infer_shapes(workload):
        match shape.layer:
            case Dense(activation=activation) | Conv2d(activation=activation):
                kernel, bias = (values[name] for name in shape.parameters)
                kernel, layer = kernel.astype(kind), shape.layer
                product = x @ kernel if isinstance(layer, Dense) else _convolve(x, kernel, layer)
                # The bias stays in float32: XLA would add up its gradient in bfloat16.
                x = _ACTIVATIONS[activation](product + bias).astype(kind)
            case MaxPool2d(pool_size=window):
                x = pool(x, window)
            case AvgPool2d(pool_size=window):
                size = (1, *window, 1)
                total = lax.reduce_window(x, 0.0, lax.add, size, size, "VALID")
                x = total / (window[0] * window[1])
            case BatchNorm() as spec:
                tensors = [values[name] for name in (*shape.parameters, *shape.state)]
                x, averages = _normalise(x.astype(jnp.float32), tensors, spec, training=training)
                x = x.astype(kind)
                state |= dict(zip(shape.state, averages, strict=False))
            case Flatten():
                x = x.reshape(len(x), -1)
            case Dropout(rate=rate) if training:
                x = x * next(masks) / (1.0 - rate)
    return x.astype(jnp.float32), state


def loss_of(workload: Workload, logits: Array, labels: Array) -> Array:
    """The workload's loss, mean over the batch, of logits (n, classes) and labels (n,)."""
    classes = nn.one_hot(labels, workload.input.classes)
    if workload.loss == "softmax_cross_entropy":
        return -(classes * nn.log_softmax(logits)).sum(axis=1).mean()
    return ((nn.softmax(logits) - classes) ** 2).mean()


def draw_masks(workload: Workload, key: Array, examples: int) -> list[Array]:
    """The values that the dropout layers of one step keep, drawn by JAX's own generator.

    One boolean array (examples, *layer shape) per dropout layer, in layer order.
    """
    dropouts = [
        (shape.layer.rate, shape.output)
        for shape in infer_shapes(workload)
        if isinstance(shape.layer, Dropout)
    ]
    keys = jax.random.split(key, len(dropouts)) if dropouts else ()
    return [
        jax.random.bernoulli(layer_key, 1.0 - rate, (examples, *shape))
        for layer_key, (rate, shape) in zip(keys, dropouts, strict=True)
    ]


def _convolve(x: Array, kernel: Array, spec: Conv2d) -> Array:
    layouts = ("NHWC", "HWIO", "NHWC")
    return lax.conv_general_dilated(
        x, kernel, spec.strides, spec.padding.upper(), dimension_numbers=layouts
    )


def _normalise(
    x: Array, values: list[Array], spec: BatchNorm, *, training: bool
) -> tuple[Array, tuple[Array, ...]]:
    """The output of batch norm, and in training the new running mean and running variance.

    In training, x is normalised by the batch's mean and biased variance. In prediction, x is
    normalised by the running values, and the second result is empty.
    """
    scale, shift, mean, variance = values
    averages: tuple[Array, ...] = ()
    if training:
        axes, old = tuple(range(x.ndim - 1)), (mean, variance)
        # Two passes over x. One pass, `mean(x**2) - mean(x)**2` as in Flax, loses digits.
        mean, variance = x.mean(axes), x.var(axes)
        averages = tuple(
            spec.momentum * running + (1.0 - spec.momentum) * value
            for running, value in zip(old, (mean, variance), strict=True)
        )
    return (x - mean) * lax.rsqrt(variance + spec.epsilon) * scale + shift, averages
