"""TensorFlow's matrix product, convolution and memory, for measuring their speed."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from backends.contract import Job
from backends.engine import Step
from backends.tensorflow import device


class TensorFlowEngine:
    """`tf.matmul`, `tf.nn.conv2d` and `Variable.assign_add`, called one by one."""

    def __init__(self, job: Job) -> None:
        device.configure(job)
        self._kind = tf.bfloat16 if job.precision == "bfloat16" else tf.float32
        self.value_bytes = self._kind.size

    def put(self, values: np.ndarray) -> tf.Variable:
        kind = self._kind if values.ndim > 1 else tf.float32
        return tf.Variable(tf.cast(values, kind), trainable=False)

    def read(self, array: tf.Tensor | tf.Variable) -> np.ndarray:
        return np.array(array.numpy(), np.float32)

    def matmul(self, kernel: np.ndarray) -> Step:
        right = tf.cast(kernel, self._kind)
        return lambda x: tf.matmul(x, right)

    def convolution(self, kernel: np.ndarray) -> Step:
        weight = tf.cast(kernel, self._kind)
        return lambda x: tf.nn.conv2d(x, weight, strides=1, padding="SAME")

    def accumulate(self, term: np.ndarray) -> Step:
        addend = tf.constant(term, tf.float32)

        def step(x: tf.Variable) -> tf.Variable:
            x.assign_add(addend, read_value=False)
            return x

        return step

    def wait(self, array: tf.Tensor | tf.Variable) -> None:
        del array
        tf.test.experimental.sync_devices()

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**device.tensorflow_settings(), "device": tf.zeros(1).device}
