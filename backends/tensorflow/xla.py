"""TensorFlow without Keras, compiled by XLA: one program trains all full batches of an epoch.

A second program trains a partial batch. On a CPU a model with convolutions is trained by one
program per step, because XLA's convolutions are some 10 times as slow inside a loop there
(jax-ml/jax issue 12868). Outside a loop they are still slower than TensorFlow's own. On a CPU core
an epoch of mnist-5k took 1.25 times the CPU time of plain TensorFlow with softmax, 0.75 times with
the MLP and 1.9 times with the CNN.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from backends import contract
from backends.contract import Job
from backends.tensorflow.loop import TensorFlow
from specs.model import Conv2d, Dropout
from specs.shapes import infer_shapes


class TensorFlowXla(TensorFlow):
    """`tf.function(jit_compile=True)`, compiled once for each number and size of batches."""

    compiles = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        shapes = infer_shapes(job.workload)
        self._dropouts = [
            (shape.layer.rate, shape.output) for shape in shapes if isinstance(shape.layer, Dropout)
        ]
        self._loops = job.device != "cpu" or not any(
            isinstance(layer, Conv2d) for layer in job.workload.layers
        )

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        super().load(images, labels)
        self._epoch = tf.function(self._train, jit_compile=True)

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        size, examples = self._job.batch_size, len(order)
        in_full_batches = examples // size * size
        calls = [(start, start + size) for start in range(0, in_full_batches, size)]
        if self._loops:
            calls = [(0, in_full_batches)]
        totals = []
        for start, stop in (*calls, (in_full_batches, examples)):
            if start < stop:
                rows = min(size, stop - start)
                parts = [_stack(part[start:stop], rows) for part in (order, *(masks or ()))]
                totals.append(self._epoch(parts[0], parts[1:]))
        return sum(map(float, totals)) / examples

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

    def _train_step(self, rows: tf.Tensor, kept: list[tf.Tensor]) -> tf.Tensor:
        return super()._train_step(rows, kept or self._draw_masks(rows.shape[0]))

    def _draw_masks(self, examples: int) -> list[tf.Tensor]:
        """The values that dropout keeps in a step, drawn from the seed and the step's number.

        One boolean array (examples, *layer shape) per dropout layer. `tf.nn.dropout` is not used,
        as XLA ignores its seed.
        """
        first = tf.cast(self._step, tf.int64) * len(self._dropouts)
        seeds = (
            tf.stack([tf.constant(self._job.seed, tf.int64), first + n])
            for n in range(len(self._dropouts))
        )
        return [
            tf.random.stateless_uniform((examples, *shape), seed) >= rate
            for seed, (rate, shape) in zip(seeds, self._dropouts, strict=True)
        ]


def _stack(values: np.ndarray, size: int) -> tf.Tensor:
    """The values (n, ...) in the shape (n / size, size, ...)."""
    return tf.constant(values.reshape(-1, size, *values.shape[1:]))
