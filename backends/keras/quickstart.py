"""TensorFlow in native mode: it trains as TensorFlow's quickstart for experts does.

It uses `tf.data`, Keras's layers, and a `tf.function` per step.
"""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from backends import contract
from backends.contract import Job, Unsupported
from backends.keras.model import build_loss
from backends.keras.tensorflow_native import KerasTensorFlowNative


class TensorFlowNative(KerasTensorFlowNative):
    """TensorFlow's own training loop and input pipeline.

    Model, weights and device are those of native Keras on TensorFlow.
    """

    def __init__(self, job: Job) -> None:
        if job.compiled:
            raise Unsupported("this adapter trains as TensorFlow's quickstart does, without XLA")
        super().__init__(job)
        self._loss, self._mean_loss = build_loss(job.workload), keras.metrics.Mean()
        # One `tf.function` per object: with a decorator all instances would share one trace.
        self._train_step = tf.function(self._train)
        self._test_step = tf.function(lambda images: self._model(images, training=False))

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        drop = self._job.workload.recipe.last_partial_batch == "drop"
        examples = tf.data.Dataset.from_tensor_slices((images, labels))
        shuffled = examples.shuffle(len(labels))
        self._pipeline = shuffled.batch(self._job.batch_size, drop_remainder=drop)

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        """Train on all loaded examples.

        Shuffle and dropout are TensorFlow's own, so neither argument is used.

        Returns:
            The mean of the steps' losses, as the quickstart computes it. A partial batch counts as
            much as a full one.
        """
        del order, masks
        self._mean_loss.reset_state()
        for images, labels in self._pipeline:
            self._train_step(images, labels)
        return float(self._mean_loss.result())

    def predict(self, images: contract.Images) -> contract.Logits:
        batches = tf.data.Dataset.from_tensor_slices(images).batch(self._job.batch_size)
        return np.concatenate([self._test_step(batch).numpy() for batch in batches])  # (n, classes)

    def read_inputs(self) -> int:
        """Read one epoch of the pipeline without training, and copy every batch to the device.

        Returns:
            The number of examples.
        """
        return self._copy_to_device(self._pipeline)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**super().settings(), "compiled": bool(tf.config.optimizer.get_jit())}

    def _train(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            # The squared error is one value per example; Keras's cross-entropy is already a mean.
            loss = tf.reduce_mean(self._loss(labels, self._model(images, training=True)))
        weights = self._model.trainable_variables
        gradients = tape.gradient(loss, weights)
        self._model.optimizer.apply_gradients(zip(gradients, weights, strict=True))
        self._mean_loss(loss)
