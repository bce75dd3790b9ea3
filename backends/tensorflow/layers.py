"""A workload's model and loss as functions of TensorFlow tensors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import tensorflow as tf

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

Values = Mapping[str, tf.Tensor]
_IMAGE_DIMENSIONS = 4  # of images (n, height, width, channels)
_ACTIVATIONS: Mapping[str, Callable[[tf.Tensor], tf.Tensor]] = {
    "linear": lambda x: x,
    "relu": tf.nn.relu,
    "leaky_relu": partial(tf.nn.leaky_relu, alpha=LEAKY_SLOPE),
    "elu": tf.nn.elu,
    "softplus": tf.nn.softplus,
    "sigmoid": tf.sigmoid,
    "tanh": tf.tanh,
}


def forward(
    workload: Workload,
    values: Values,
    x: tf.Tensor,
    kept: list[tf.Tensor],
    *,
    random: tf.random.Generator,
    training: bool,
    kind: tf.DType = tf.float32,
    fused: bool,
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """Logits (n, classes) of images (n, height, width, channels), and batch norm's new state.

    Both are float32.

    Args:
        workload: the model.
        values: weights and state by canonical name, in canonical layout, which is TensorFlow's own.
        x: the images.
        kept: the values that each dropout layer keeps, (n, *shape) booleans, in layer order; if
            empty, the framework's own dropout is used.
        random: draws what that dropout keeps.
        training: whether this is a training step.
        kind: the type of the factors of products, and of the values between layers. Batch norm
            computes in float32.
        fused: use the kernel of batch norm; XLA fuses its formula itself.
    """
    normalise = _normalise_fused if fused else _normalise
    state: dict[str, tf.Tensor] = {}
    masks, x = iter(kept), tf.cast(x, kind)
    for shape in infer_shapes(workload):
        match shape.layer:
            case Dense(activation=activation) | Conv2d(activation=activation):
                kernel, bias = (values[name] for name in shape.parameters)
                product = _multiply(x, tf.cast(kernel, kind), shape.layer)
                # The bias stays in float32: on CPUs TensorFlow would add up its gradient in
                # bfloat16.
                total = tf.nn.bias_add(tf.cast(product, tf.float32), bias)
                x = tf.cast(_ACTIVATIONS[activation](total), kind)
            case MaxPool2d(pool_size=window):
                x = tf.nn.max_pool2d(x, window, window, "VALID")
            case AvgPool2d(pool_size=window):
                x = tf.nn.avg_pool2d(x, window, window, "VALID")
            case BatchNorm() as spec:
                tensors = [values[name] for name in (*shape.parameters, *shape.state)]
                x, averages = normalise(x, tensors, spec, training=training)
                state |= dict(zip(shape.state, averages, strict=False))
            case Flatten():
                x = tf.reshape(x, (-1, shape.output[0]))
            case Dropout(rate=rate) if training:
                x = _drop(x, rate, next(masks, None), random)
    return tf.cast(x, tf.float32), state


def _multiply(x: tf.Tensor, kernel: tf.Tensor, layer: Dense | Conv2d) -> tf.Tensor:
    """The product of a dense layer, or the convolution, without the bias."""
    if isinstance(layer, Dense):
        return x @ kernel
    return tf.nn.conv2d(x, kernel, layer.strides, layer.padding.upper())


def _drop(
    x: tf.Tensor, rate: float, mask: tf.Tensor | None, random: tf.random.Generator
) -> tf.Tensor:
    """Dropout by a given mask, or by the framework's own."""
    if mask is not None:
        return x * tf.cast(mask, x.dtype) / (1.0 - rate)
    # In float32: numbers of eight bits would keep another fraction.
    single = tf.nn.experimental.general_dropout(tf.cast(x, tf.float32), rate, random.uniform)
    return tf.cast(single, x.dtype)


def loss_of(workload: Workload, logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """The workload's loss, mean over the batch, of logits (n, classes) and labels (n,)."""
    if workload.loss == "softmax_cross_entropy":
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    classes = tf.one_hot(labels, workload.input.classes)
    return tf.reduce_mean(tf.math.squared_difference(tf.nn.softmax(logits), classes))


def _normalise(
    x: tf.Tensor, values: list[tf.Tensor], spec: BatchNorm, *, training: bool
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """The output of batch norm, and in training the new running mean and running variance.

    In training, x is normalised by the batch's mean and biased variance. In prediction, x is
    normalised by the running values, and the second result is empty.
    """
    scale, shift, mean, variance = values
    kind, x = x.dtype, tf.cast(x, tf.float32)
    averages: tuple[tf.Tensor, ...] = ()
    if training:
        old = mean, variance
        mean, variance = tf.nn.moments(x, list(range(len(x.shape) - 1)))
        averages = tuple(
            spec.momentum * running + (1.0 - spec.momentum) * value
            for running, value in zip(old, (mean, variance), strict=True)
        )
    normal = tf.nn.batch_normalization(x, mean, variance, shift, scale, spec.epsilon)
    return tf.cast(normal, kind), averages


def _normalise_fused(
    x: tf.Tensor, values: list[tf.Tensor], spec: BatchNorm, *, training: bool
) -> tuple[tf.Tensor, tuple[tf.Tensor, ...]]:
    """The same by one kernel."""
    scale, shift, mean, variance = values
    kind, x = x.dtype, tf.cast(x, tf.float32)
    # The kernel takes images.
    images = x if len(x.shape) == _IMAGE_DIMENSIONS else x[:, tf.newaxis, tf.newaxis, :]
    y, new_mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
        x=images,
        scale=scale,
        offset=shift,
        mean=mean,
        variance=variance,
        epsilon=spec.epsilon,
        exponential_avg_factor=1.0 - spec.momentum,
        is_training=training,
    )
    y = tf.cast(tf.reshape(y, tf.shape(x)), kind)
    if not training:
        return y, ()
    # The kernel averages the unbiased variance, which is n / (n - 1) times the biased one.
    count = tf.cast(tf.size(x) // x.shape[-1], tf.float32)
    new_variance = (unbiased * (count - 1.0) + spec.momentum * variance) / count
    return y, (new_mean, new_variance)
