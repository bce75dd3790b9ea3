"""Keras on TensorFlow, trained by `model.fit` on a `tf.data` pipeline with a given order.

The data are on the device, and each training step gathers its batch.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
import tensorflow as tf

from backends import contract
from backends.contract import Job
from backends.keras.model import KerasModel
from backends.tensorflow import device

_AHEAD = 2  # the number of batches of rows that are ready during a training step


class Gathering(keras.Sequential):
    """A model whose `fit` takes row numbers, and gathers these examples on the device."""

    gather: Callable[[tf.Tensor], tuple[tf.Tensor, tf.Tensor]]

    def train_step(self, data: tf.Tensor) -> dict[str, tf.Tensor]:
        return super().train_step(self.gather(data))


class KerasTensorFlow(KerasModel):
    """`fit` on a `tf.data` pipeline of row numbers; prediction is a `tf.function`."""

    sequential = Gathering

    def __init__(self, job: Job) -> None:
        device.configure(job)
        super().__init__(job)
        self._compiled_call = tf.function(
            lambda images: self._model(images, training=False), jit_compile=job.compiled
        )

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # Variables, because a function copies every constant that it uses.
        self._examples = [tf.Variable(values, trainable=False) for values in (images, labels)]
        self._model.gather = lambda rows: tuple(tf.gather(part, rows) for part in self._examples)
        with tf.device("CPU"):  # a `tf.data` pipeline runs on the CPU
            self._order = tf.Variable(np.zeros(0, np.int64), shape=[None])
        self._pipeline = self._make_pipeline()

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def device_memory(self) -> contract.DeviceMemory | None:
        return device.device_memory(self._job)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            **device.tensorflow_settings(),
            "compiled": bool(self._model.jit_compile),
            "device": self._model.trainable_variables[0].value.device,
            "keras_backend": keras.backend.backend(),
        }

    def _batches(self, order: contract.Order) -> tf.data.Dataset:
        self._order.assign(order)
        return self._pipeline

    def _logits(self, images: contract.Images) -> tf.Tensor:
        return self._compiled_call(tf.constant(images))

    def _make_pipeline(self) -> tf.data.Dataset:
        """The pipeline of the row numbers of each batch, from the variable `_order`.

        It is built once, and reads the variable again in every epoch.
        """
        size = self._job.batch_size

        def starts(_: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.range(0, tf.size(self._order, tf.int64), size)

        def rows(start: tf.Tensor) -> tf.Tensor:
            return self._order[start : start + size]

        options = tf.data.Options()
        options.threading.private_threadpool_size = self._job.threads
        # The autotuner's thread doubles its sleeping time after each round. At the end of an epoch
        # the iterator waits until the thread wakes, which may take as long as the epoch.
        options.autotune.enabled = False
        batches = tf.data.Dataset.range(1).flat_map(starts).map(rows)
        return batches.prefetch(_AHEAD).with_options(options)


class KerasTensorFlowTuned(KerasTensorFlow):
    """Keras on TensorFlow with 16 training steps in one call of a `tf.function`.

    Keras's documentation recommends this for small models. On a CPU core an epoch of mnist-5k took
    0.46 times the CPU time of `KerasTensorFlow` with softmax, 0.65 times with the MLP and 0.91
    times with the CNN. More than 16 steps gained nothing. With XLA in addition (`jit_compile=True`)
    all three were slower: 0.56, 0.68 and 5.3 times.
    """

    steps_per_execution = 16
