"""Handwritten Keras loops: one with the adapter's pipeline, and the tutorials' `fit` on arrays."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf
from keras import layers


def softmax():
    return [layers.Flatten(), layers.Dense(10)]


def mlp():
    hidden = [layers.Dense(units, activation="relu") for units in (200, 100, 60, 30)]
    return [layers.Flatten(), *hidden, layers.Dense(10)]


def cnn():
    return [
        layers.Conv2D(32, 3, activation="relu"),
        layers.Conv2D(32, 3, activation="relu"),
        layers.MaxPooling2D(2),
        layers.Dropout(0.25),
        layers.Flatten(),
        layers.Dense(256, activation="relu"),
        layers.Dropout(0.25),
        layers.Dense(10),
    ]


def make(workload, weights):
    """A compiled model with the given weights."""
    model_layers = {"softmax": softmax, "mlp-relu": mlp, "cnn": cnn}[workload]()
    model = keras.Sequential([keras.Input((28, 28, 1)), *model_layers])
    model.compile(
        optimizer=keras.optimizers.Adadelta(1.0, rho=0.95, epsilon=1e-7)
        if workload == "cnn"
        else keras.optimizers.RMSprop(1e-3, rho=0.9, epsilon=1e-7),
        loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        jit_compile=False,
    )
    for variable, value in zip(model.trainable_variables, weights.values(), strict=True):
        variable.assign(value)
    return model


def plain_loop(workload, weights, images, labels, threads):
    """A function that trains an epoch in the given order, with a pipeline that is built once."""
    model = make(workload, weights)
    with tf.device("CPU"):
        x, y = tf.Variable(images, trainable=False), tf.Variable(labels, trainable=False)
        indices = tf.Variable(np.zeros(0, np.int64), shape=[None])

    def starts(_):
        return tf.data.Dataset.range(0, tf.size(indices, tf.int64), 128)

    def gather(start):
        rows = indices[start : start + 128]
        return tf.gather(x, rows), tf.gather(y, rows)

    options = tf.data.Options()
    options.autotune.enabled = False  # see the adapter
    options.threading.private_threadpool_size = threads
    batches = (
        tf.data.Dataset.range(1).flat_map(starts).map(gather).prefetch(2).with_options(options)
    )

    def epoch(order):
        indices.assign(order)
        steps = -(-len(order) // 128)
        history = model.fit(batches, steps_per_epoch=steps, shuffle=False, verbose=0).history
        return history["loss"][0]

    return epoch


def tutorial_loop(workload, weights, images, labels, threads):
    """A function that trains an epoch by `model.fit` on arrays, as in Keras's tutorials."""
    model = make(workload, weights)

    def epoch(order):
        count = len(order)
        history = model.fit(images[:count], labels[:count], batch_size=128, verbose=0).history
        return history["loss"][0]

    return epoch
