"""TensorFlow without Keras: an epoch is one `tf.function` with a loop over its batches.

The data are in memory, in variables.
"""

from __future__ import annotations

from functools import partial

import numpy as np
import tensorflow as tf

from backends import contract
from backends.contract import Job, Unsupported
from backends.tensorflow import device as tensorflow_device
from backends.tensorflow.layers import forward, loss_of
from backends.tensorflow.updates import FusedUpdates
from specs.shapes import infer_shapes


class TensorFlow:
    """`tf.Variable`, `tf.nn`, `tf.GradientTape`, and the optimizers' kernels."""

    compiles = False

    def __init__(self, job: Job) -> None:
        if job.compiled != self.compiles or job.mode != "matched":
            way = "with" if self.compiles else "without"
            raise Unsupported(f"this adapter trains {way} XLA, in matched mode")
        tensorflow_device.configure(job)
        # For dropout, as nothing else is random. Unlike `tf.nn.dropout`'s it can be reset.
        self._random = tf.random.Generator.from_seed(job.seed, alg="philox")
        self._job = job
        shapes = infer_shapes(job.workload)
        self._weights = {
            name: tf.Variable(tf.zeros(size))
            for shape in shapes
            for name, size in shape.parameters.items()
        }
        self._state = {
            name: tf.Variable(tf.zeros(size))
            for shape in shapes
            for name, size in shape.state.items()
        }
        self._names = [name for shape in shapes for name in shape.parameters | shape.state]
        self._optimizer = FusedUpdates(
            job.workload.optimizer, self._weights, fused=not self.compiles
        )
        self._forward = partial(
            forward,
            job.workload,
            random=self._random,
            kind=tf.bfloat16 if job.precision == "bfloat16" else tf.float32,
            fused=not self.compiles,
        )
        self._logits = tf.function(self._predict, jit_compile=self.compiles)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # Variables, because a constant that a `tf.function` uses is copied into the function.
        self._images = tf.Variable(images, trainable=False)
        self._labels = tf.Variable(labels, trainable=False)
        # Created here, as they use these variables. The first is one program for any length.
        self._epoch = tf.function(
            self._train, input_signature=[tf.TensorSpec([None], tf.int64), []]
        )
        self._masked_epoch = tf.function(self._train, reduce_retracing=True)

    def set_weights(self, weights: contract.Weights) -> None:
        for name, variable in (self._weights | self._state).items():
            variable.assign(weights[name])

    def reset(self, weights: contract.Weights) -> None:
        self._random.reset_from_seed(self._job.seed)
        self._optimizer.reset()
        self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        values = self._weights | self._state
        return {name: np.array(values[name].numpy()) for name in self._names}

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        if masks is None:
            total = self._epoch(tf.constant(order), [])
        else:
            total = self._masked_epoch(tf.constant(order), [tf.constant(mask) for mask in masks])
        return float(total) / len(order)

    def predict(self, images: contract.Images) -> contract.Logits:
        size = contract.PREDICTION_BATCH
        batches = [
            tf.constant(images[start : start + size]) for start in range(0, len(images), size)
        ]
        logits = [self._logits(batch) for batch in batches]  # all are queued before one is read
        return np.concatenate([part.numpy() for part in logits])  # (n, classes)

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def device_memory(self) -> contract.DeviceMemory | None:
        return tensorflow_device.device_memory(self._job)

    def settings(self) -> dict[str, str | int | bool | None]:
        device = next(iter(self._weights.values())).device
        compiled = tf.config.optimizer.get_jit() or self._logits.function_spec.jit_compile
        return {
            **tensorflow_device.tensorflow_settings(),
            "compiled": bool(compiled),
            "device": device,
        }

    def _predict(self, images: tf.Tensor) -> tf.Tensor:
        values = self._weights | self._state
        return self._forward(values, images, [], training=False)[0]

    def _train(self, order: tf.Tensor, masks: list[tf.Tensor]) -> tf.Tensor:
        """Train one epoch, and return the sum of the losses of its examples, in float64."""
        size, total = self._job.batch_size, tf.constant(0.0, tf.float64)
        for start in tf.range(0, tf.size(order), size):  # AutoGraph makes this a loop in the graph
            rows = order[start : start + size]
            loss = self._train_step(rows, [mask[start : start + size] for mask in masks])
            total += tf.cast(loss, tf.float64) * tf.cast(tf.size(rows), tf.float64)
        return total

    def _train_step(self, rows: tf.Tensor, kept: list[tf.Tensor]) -> tf.Tensor:
        workload, current = self._job.workload, self._weights | self._state
        images, labels = tf.gather(self._images, rows), tf.gather(self._labels, rows)
        with tf.GradientTape() as tape:
            logits, state = self._forward(current, images, kept, training=True)
            loss = loss_of(workload, logits, labels)
        self._optimizer.apply(tape.gradient(loss, self._weights))
        for name, value in state.items():
            self._state[name].assign(value)
        return loss
