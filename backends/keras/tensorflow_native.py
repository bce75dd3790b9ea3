"""Keras on TensorFlow in native mode, with the matched adapter's device and settings."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from backends.contract import Job
from backends.keras.native import KerasNative
from backends.keras.tensorflow import KerasTensorFlow


class KerasTensorFlowNative(KerasNative, KerasTensorFlow):
    """`fit` builds a new `tf.data` pipeline from the arrays in every call."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._seeds = np.random.default_rng(job.seed)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**super().settings(), "optimizer": self._optimizer_text()}

    def _fit(self) -> keras.callbacks.History:
        # With a fixed seed, `tf.data` shuffles in the same order in every `fit`. Tutorials set no
        # seed and get a new order each time (tensorflow/tensorflow issue 35682). A new seed per
        # epoch also gives a new order each time, and the orders are reproducible.
        tf.random.set_seed(int(self._seeds.integers(2**31)))
        return super()._fit()

    def _take(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> dict[str, Any]:
        self._read = self._copy_to_device(islice(batches, self._steps()))
        self._model.stop_training = True  # all batches have been read in one step
        return {}

    def _copy_to_device(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> int:
        """Copy batches to the model's device, and return their number of examples."""
        count, device = 0, self._model.trainable_variables[0].value.device
        for images, labels in batches:
            with tf.device(device):  # inside the loop, because the pipeline runs on the CPU
                tf.identity(images)
                count += len(tf.identity(labels))
        return count
