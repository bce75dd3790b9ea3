"""Keras on TensorFlow as its tutorials write it; the matched adapter's device and settings."""

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
    """`fit` makes a `tf.data` pipeline of the arrays, anew in every call."""

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        self._seeds = np.random.default_rng(job.seed)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**super().settings(), "optimizer": self._optimizer_text()}

    def _fit(self) -> keras.callbacks.History:
        # Where a seed is set, `tf.data` shuffles alike in every epoch of every `fit`; tutorials set
        # none, and get a new order each time (tensorflow/tensorflow issue 35682). A seed per epoch
        # gives that, and repeats.
        tf.random.set_seed(int(self._seeds.integers(2**31)))
        return super()._fit()

    def _take(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> dict[str, Any]:
        self._read = self._bring(islice(batches, self._steps()))
        self._model.stop_training = True  # nothing is left for a second step
        return {}

    def _bring(self, batches: Iterable[tuple[tf.Tensor, tf.Tensor]]) -> int:
        """Bring batches to where the model lies; returns how many examples they hold."""
        count, device = 0, self._model.trainable_variables[0].value.device
        for images, labels in batches:
            with tf.device(device):  # not around the loop: a pipeline stays on the CPU
                tf.identity(images)
                count += len(tf.identity(labels))
        return count
