"""TensorFlow without Keras, compiled by XLA: one program trains some full batches.

See `backends.contract.steps_per_call`. A second program trains a partial batch. XLA's convolutions
are slower than TensorFlow's own on CPUs. On a CPU core an epoch of mnist-5k took 1.25 times the CPU
time of plain TensorFlow with softmax, 0.75 times with the MLP and 1.9 times with the CNN.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from backends import contract
from backends.tensorflow.loop import TensorFlow


class TensorFlowXla(TensorFlow):
    """`tf.function(jit_compile=True)`, compiled once for each number and size of batches."""

    compiles = True

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        super().load(images, labels)
        self._epoch = tf.function(self._train, jit_compile=True)
        self._steps = contract.steps_per_call(self._job, len(labels))

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        totals = []
        for part, rows in contract.split_epoch(len(order), self._job.batch_size, self._steps):
            batches, *stacked = (_stack(values[part], rows) for values in (order, *(masks or ())))
            totals.append(self._epoch(batches, stacked))
        return sum(map(float, totals)) / len(order)

    def _train(self, batches: tf.Tensor, masks: list[tf.Tensor]) -> tf.Tensor:
        """Train on batches (steps, size) of indices.

        Returns:
            The sum of the losses of their examples, in float64.
        """
        steps, size = batches.shape
        if steps == 1:  # without a loop in the compiled program
            loss = self._train_step(batches[0], [mask[0] for mask in masks])
            return tf.cast(loss, tf.float64) * size
        total = tf.constant(0.0, tf.float64)
        for step in tf.range(steps):  # AutoGraph makes this a loop in the program
            loss = self._train_step(batches[step], [mask[step] for mask in masks])
            total += tf.cast(loss, tf.float64)
        return total * size


def _stack(values: np.ndarray, size: int) -> tf.Tensor:
    """The values (n, ...) in the shape (n / size, size, ...)."""
    return tf.constant(values.reshape(-1, size, *values.shape[1:]))
