"""Keras on TensorFlow, trained by `model.fit` as its users train it, over a `tf.data` pipeline with a given order."""

from __future__ import annotations

import keras
import numpy as np
import tensorflow as tf

from backends import contract
from backends.contract import Job, Unsupported
from backends.keras_updates import build_optimizer
from specs.model import Conv2d, Dense, Dropout, Flatten, Layer, MaxPool2d
from specs.shapes import infer_shapes


class KerasTensorFlow:
    """`keras.Sequential`, `model.compile`, `model.fit`."""

    def __init__(self, job: Job) -> None:
        if job.precision == "bfloat16" or job.mode != "matched":
            raise Unsupported("this adapter trains in float32 or TF32, in matched mode")
        if job.device != "cpu" and not tf.config.list_physical_devices("GPU"):
            raise Unsupported(f"TensorFlow {tf.__version__} sees no GPU: not a CUDA build, or no driver for it")
        _configure(job)
        self._job = job
        self._model = keras.Sequential([keras.Input(job.workload.input.shape), *map(_build, job.workload.layers)])
        self._dropouts = [layer for layer in self._model.layers if isinstance(layer, _Dropout)]
        self._names = [name for layer in infer_shapes(job.workload) for name in layer.parameters]
        self._model.compile(
            optimizer=build_optimizer(job.workload.optimizer),
            loss=keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            jit_compile=job.compiled,  # Keras's "auto" compiles where it sees a GPU and nowhere else
        )
        self._logits = tf.function(lambda images: self._model(images, training=False), jit_compile=job.compiled)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        with tf.device("CPU"):  # where a tf.data pipeline gathers
            # Variables, as a pipeline takes a copy of every constant that it uses.
            self._images, self._labels = tf.Variable(images, trainable=False), tf.Variable(labels, trainable=False)
            self._order = tf.Variable(np.zeros(0, np.int64), shape=[None])
        self._batches = self._pipeline()

    def set_weights(self, weights: contract.Weights) -> None:
        for name, variable in zip(self._names, self._model.trainable_variables, strict=True):
            variable.assign(weights[name])

    def get_weights(self) -> contract.Weights:
        return {n: v.numpy() for n, v in zip(self._names, self._model.trainable_variables, strict=True)}

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        self._order.assign(order)
        if masks is not None:
            for dropout, mask in zip(self._dropouts, masks, strict=True):
                dropout.inject(mask)
            self._model.make_train_function(force=True)
        steps = -(-len(order) // self._job.batch_size)
        history = self._model.fit(self._batches, steps_per_epoch=steps, shuffle=False, verbose=0)
        return float(history.history["loss"][0])

    def predict(self, images: contract.Images) -> contract.Logits:
        size = contract.PREDICTION_BATCH
        # The compiled call: `model.predict` takes ten times as long for the same numbers.
        logits = [self._logits(tf.constant(images[start : start + size])) for start in range(0, len(images), size)]
        return tf.concat(logits, axis=0).numpy()  # (n, classes)

    def sync(self) -> None:
        tf.test.experimental.sync_devices()

    def device_memory(self) -> contract.DeviceMemory | None:
        if self._job.device == "cpu":
            return None
        return contract.DeviceMemory(allocator_peak_bytes=tf.config.experimental.get_memory_info("GPU:0")["peak"])

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            "threads": tf.config.threading.get_intra_op_parallelism_threads(),
            "tensor_float_32": tf.config.experimental.tensor_float_32_execution_enabled(),
            "compiled": bool(self._model.jit_compile),
            "device": self._model.trainable_variables[0].value.device,
            "keras_backend": keras.backend.backend(),
        }

    def _pipeline(self) -> tf.data.Dataset:
        """The batches that the order variable names; built once, it reads the order anew in every epoch."""
        size = self._job.batch_size

        def starts(_: tf.Tensor) -> tf.data.Dataset:
            return tf.data.Dataset.range(0, tf.size(self._order, tf.int64), size)

        def gather(start: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            rows = self._order[start : start + size]
            return tf.gather(self._images, rows), tf.gather(self._labels, rows)

        options = tf.data.Options()
        options.threading.private_threadpool_size = self._job.threads
        batches = tf.data.Dataset.range(1).flat_map(starts).map(gather)
        return batches.prefetch(tf.data.AUTOTUNE).with_options(options)


class _Dropout(keras.layers.Dropout):
    """The framework's dropout, or in the proof the injected masks of one epoch, batch after batch."""

    masks: tf.Tensor | None = None

    def inject(self, masks: np.ndarray) -> None:
        self.masks, self.seen = (
            tf.constant(masks, tf.float32),
            tf.Variable(0, dtype=tf.int64),
        )  # an int32 would stay on the CPU

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:  # noqa: FBT001, FBT002 - Keras's signature
        if self.masks is None or not training:
            return super().call(inputs, training=training)
        count = tf.shape(inputs, tf.int64)[0]
        after = self.seen.assign_add(count)
        return inputs * self.masks[after - count : after] / (1.0 - self.rate)


def _configure(job: Job) -> None:
    keras.config.set_floatx("float32")
    keras.config.set_image_data_format("channels_last")
    keras.utils.set_random_seed(job.seed)  # for dropout: nothing else here is random
    tf.config.threading.set_intra_op_parallelism_threads(job.threads)
    tf.config.threading.set_inter_op_parallelism_threads(job.threads)
    tf.config.experimental.enable_tensor_float_32_execution(job.precision == "tf32")
    if job.deterministic:
        tf.config.experimental.enable_op_determinism()


def _build(layer: Layer) -> keras.layers.Layer:
    match layer:
        case Dense(units=units, activation=activation):
            return keras.layers.Dense(units, activation=activation)
        case Conv2d(filters=filters, kernel_size=kernel_size, activation=activation):
            return keras.layers.Conv2D(filters, kernel_size, activation=activation)
        case MaxPool2d(pool_size=pool_size):
            return keras.layers.MaxPooling2D(pool_size)
        case Flatten():
            return keras.layers.Flatten()
        case Dropout(rate=rate):
            return _Dropout(rate)
