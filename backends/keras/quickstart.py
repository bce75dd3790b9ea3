"""TensorFlow as its quickstart for experts writes it: `tf.data`, Keras's layers, a `tf.function` per step."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from backends import contract
from backends.contract import Job, Unsupported
from backends.keras.model import build_loss
from backends.keras.tensorflow_native import KerasTensorFlowNative


class TensorFlowNative(KerasTensorFlowNative):
    """The model, weights and device of native Keras on TensorFlow; the loop and the pipeline are TensorFlow's own."""

    def __init__(self, job: Job) -> None:
        if job.compiled:
            raise Unsupported("this adapter trains as TensorFlow's quickstart does, without XLA")
        super().__init__(job)
        self._loss, self._mean_loss = build_loss(job.workload), keras.metrics.Mean()
        # Functions of this object: a decorator's would keep one trace for all instances.
        self._train_step = tf.function(self._train)
        self._test_step = tf.function(lambda images: self._model(images, training=False))

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        drop = self._job.workload.recipe.last_partial_batch == "drop"
        examples = tf.data.Dataset.from_tensor_slices((images, labels))
        self._pipeline = examples.shuffle(len(labels)).batch(
            self._job.batch_size, drop_remainder=drop
        )

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:  # noqa: ARG002 - see below
        """Train on all loaded examples: shuffle and dropout are TensorFlow's own, so neither argument is read.

        Returns the mean of the steps' losses, as the quickstart does: a partial batch counts as
        much as a whole one.
        """
        self._mean_loss.reset_state()
        for images, labels in self._pipeline:
            self._train_step(images, labels)
        return float(self._mean_loss.result())

    def predict(self, images: contract.Images) -> contract.Logits:
        batches = tf.data.Dataset.from_tensor_slices(images).batch(self._job.batch_size)
        return np.concatenate([self._test_step(batch).numpy() for batch in batches])  # (n, classes)

    def read_inputs(self) -> int:
        """One epoch of the pipeline alone, every batch brought to the device; returns the number of examples."""
        return self._bring(self._pipeline)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**super().settings(), "compiled": bool(tf.config.optimizer.get_jit())}

    def _train(self, images: tf.Tensor, labels: tf.Tensor) -> None:
        with tf.GradientTape() as tape:
            # Keras's quadratic loss is one number per example, its cross entropy the mean already.
            loss = tf.reduce_mean(self._loss(labels, self._model(images, training=True)))
        gradients = tape.gradient(loss, self._model.trainable_variables)
        self._model.optimizer.apply_gradients(
            zip(gradients, self._model.trainable_variables, strict=True)
        )
        self._mean_loss(loss)
