"""What TensorFlow does unless told, without Keras.

`tf.optimizers` and `tf.initializers` are Keras's, as `whose` finds. Those of TensorFlow 1, in
tf.compat.v1, do not count here.
"""

from functools import partial

import numpy as np
import tensorflow as tf
from tensorflow.python.framework import config

from backends.defaults import OPTIMIZERS
from tests.defaults.asking import (
    ODD,
    PADDED,
    SCALED,
    TAKES,
    TIES,
    VARIANCE,
    answer,
    given,
    named,
    reduced,
    share,
    word,
)

INITIALIZERS = (
    "kernel initializer",
    "bias initializer",
    "normal initializers",
    "range of the uniform initializer",
)


def whose(kind):
    return {"keras": "only in Keras"}[kind.__module__.partition(".")[0]]


def convolved():
    """The shape of a convolution's output: (1, 6, 6, 5) in one order of the axes only."""
    images, kernel = tf.ones((1, 7, 8, 4)), tf.ones((2, 3, 4, 5))
    return tuple(tf.nn.conv2d(images, kernel, 1, "VALID").shape)


def odd_zero():
    row = tf.reshape(tf.range(1.0, 7.0), (1, 1, 6, 1))
    first = tf.reshape([1.0, 0.0, 0.0], (1, 3, 1, 1))
    return word(ODD, tf.nn.conv2d(row, first, 2, "SAME")[0, 0, 0, 0])


def pool(x):
    return tf.nn.max_pool2d(x, 2, 2, "VALID")


def edge():
    return tf.nn.avg_pool2d(tf.ones((1, 3, 3, 1)), 2, 2, "SAME")[0, 1, 1, 0]


def slope(function, x):
    x = tf.Variable(x)
    with tf.GradientTape() as tape:
        y = function(x)
    return tape.gradient(y, x).numpy()


def dropped():
    return tf.nn.dropout(tf.ones(100_000), 0.2).numpy()


def losses():
    return tf.nn.sparse_softmax_cross_entropy_with_logits([1, 1], [[0.25, 0.75]] * 2).numpy()


def tie():
    return slope(pool, np.ones((1, 2, 2, 1), np.float32))


def variance():
    return tf.nn.moments(tf.constant([0.0, 2.0]), [0])[1]


def shuffled():
    return next(iter(tf.data.Dataset.range(99).batch(99))).numpy().tolist() != [*range(99)]


def last_batch():
    return {False: "kept", True: "dropped"}[given(tf.data.Dataset.batch, "drop_remainder")]


def threads():
    return {0: "chosen by TensorFlow"}[tf.config.threading.get_intra_op_parallelism_threads()]


# Keras on TensorFlow has these defaults, too.
DEVICE = {
    "TF32 in matrix products": tf.config.experimental.tensor_float_32_execution_enabled,
    "TF32 in convolutions": tf.config.experimental.tensor_float_32_execution_enabled,
    "determinism": config.is_op_determinism_enabled,
    "CPU threads": threads,
}
UNASKED_DEVICE = {
    "autotuning of GPU kernels": "an environment variable at the start decides it",
    "GPU memory allocation": "takes a GPU",
}

QUESTIONS = {
    **dict.fromkeys(INITIALIZERS, lambda: whose(tf.initializers.GlorotUniform)),
    "dense kernel's axes": partial(named, tf.nn, "dense"),
    "convolution kernel's axes": lambda: {(1, 6, 6, 5): "(height, width, in, out)"}[convolved()],
    "image layout": lambda: {(1, 6, 6, 5): "channels last"}[convolved()],
    "flatten's order": partial(named, tf.nn, "flatten"),
    "extra row of 'same' padding, stride 2": odd_zero,
    "partial pooling window": partial(given, tf.nn.max_pool2d, "padding"),
    "average pooling over padding": lambda: word(PADDED, edge()),
    "relu's derivative at 0": lambda: slope(tf.nn.relu, np.zeros(1, np.float32)).item(),
    "gradient of max pooling in a tie": lambda: word(TIES, tie()),
    "leaky_relu's slope": partial(given, tf.nn.leaky_relu, "alpha"),
    "meaning of dropout's rate": lambda: share(dropped()),
    "dropout's scaling": lambda: word(SCALED, dropped().max()),
    "batch norm's epsilon": partial(given, tf.nn.batch_normalization, "variance_epsilon"),
    "batch norm's momentum": partial(given, tf.nn.batch_normalization, "momentum"),
    "meaning of batch norm's momentum": partial(given, tf.nn.batch_normalization, "momentum"),
    "batch norm's running variance": lambda: word(VARIANCE, variance()),
    "cross-entropy takes": lambda: word(TAKES, losses()[0]),
    "loss of a batch": lambda: reduced(losses(), losses()[0]),
    **dict.fromkeys(OPTIMIZERS, lambda: whose(tf.optimizers.SGD)),
    "batch size": partial(given, tf.data.Dataset.batch, "batch_size"),
    "shuffling": shuffled,
    "last partial batch": last_batch,
    "dtype": lambda: tf.constant(1.0).dtype.name,
    "compiler": lambda: bool(given(tf.function, "jit_compile") or tf.config.optimizer.get_jit()),
    **DEVICE,
}
UNASKED = {"loss of an epoch": "the loop is the user's", **UNASKED_DEVICE}

if __name__ == "__main__":
    answer(QUESTIONS, UNASKED)
