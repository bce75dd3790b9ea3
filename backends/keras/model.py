"""The common part of the Keras adapters of all engines, in matched mode.

It builds the model and its loss, sets and reads weights, and calls `model.fit` with a given order.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import keras
import numpy as np
from keras import ops

from backends import contract
from backends.contract import Job, Unsupported
from backends.keras.updates import build_optimizer
from specs.model import (
    LEAKY_SLOPE,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool2d,
    Workload,
)
from specs.shapes import infer_shapes


class KerasModel:
    """`keras.Sequential`, `model.compile`, `model.fit`.

    The subclass of an engine adds loading of data, prediction and settings.
    """

    mode = "matched"
    sequential: type[keras.Sequential] = keras.Sequential
    image_data_format = "channels_last"
    steps_per_execution = 1  # the number of training steps between two returns to `fit`

    def __init__(self, job: Job) -> None:
        if job.mode != self.mode:
            raise Unsupported(f"this adapter trains in {self.mode} mode")
        if job.precision == "bfloat16" and job.mode != "matched":
            raise Unsupported("native mode trains as Keras's tutorials do, in float32")
        self._job = job
        keras.config.set_floatx("float32")
        # Losses and optimizers stay in float32: they follow `floatx`.
        keras.config.set_dtype_policy(
            "mixed_bfloat16" if job.precision == "bfloat16" else "float32"
        )
        keras.config.set_image_data_format(self.image_data_format)
        keras.utils.set_random_seed(job.seed)  # for dropout, as nothing else is random
        with self._scope():
            self._build(job.workload)

    def set_weights(self, weights: contract.Weights) -> None:
        for name, variable in self._variables.items():
            variable.assign(weights[name])

    def reset(self, weights: contract.Weights) -> None:
        with self._scope():
            for variable, value in self._start:
                variable.assign(value.copy())  # an engine may write to memory that it is given
            self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        return {
            name: np.array(ops.convert_to_numpy(variable))
            for name, variable in self._variables.items()
        }

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        with self._scope():
            if masks is not None:
                pairs = zip(self._dropouts, masks, strict=True)
                has_new_variables = [dropout.inject(mask) for dropout, mask in pairs]
                if any(has_new_variables):
                    self._model.make_train_function(force=True)
            steps = -(-len(order) // self._job.batch_size)
            history = self._model.fit(
                self._batches(order), steps_per_epoch=steps, shuffle=False, verbose=0
            )
        return float(history.history["loss"][0])

    def predict(self, images: contract.Images) -> contract.Logits:
        size = contract.PREDICTION_BATCH
        with self._scope():
            logits = [
                self._logits(images[start : start + size]) for start in range(0, len(images), size)
            ]
            single = [ops.convert_to_numpy(ops.cast(part, "float32")) for part in logits]
            return np.concatenate(single)  # (n, classes)

    def _scope(self) -> AbstractContextManager[Any]:
        """The context in which Keras is called; a subclass sets the engine's device in it."""
        return nullcontext()

    def _batches(self, order: contract.Order) -> Iterable[tuple[Any, Any]]:
        """The batches of examples in the given order, in a form that `fit` takes."""
        raise NotImplementedError

    def _logits(self, images: contract.Images) -> Any:
        """Logits of one batch, by the engine's fastest call.

        `model.predict` is not used, as it takes ten times as long on TensorFlow.
        """
        raise NotImplementedError

    def _build(self, workload: Workload) -> None:
        *image, channels = workload.input.shape
        shape = (channels, *image) if _channels_axis() == 1 else (*image, channels)
        self._model = self.sequential([keras.Input(shape), *map(_layer, workload.layers)])
        self._dropouts = [layer for layer in self._model.layers if isinstance(layer, _Dropout)]
        self._variables = {
            name: variable
            for shape, layer in zip(infer_shapes(workload), self._model.layers, strict=True)
            for name, variable in zip(shape.parameters | shape.state, layer.weights, strict=True)
        }
        self._model.compile(
            optimizer=build_optimizer(workload.optimizer),
            loss=build_loss(workload),
            # Keras's "auto" depends on the engine and on whether it sees a GPU.
            jit_compile=self._job.compiled,
            steps_per_execution=self.steps_per_execution,
        )
        self._model.optimizer.build(self._model.trainable_variables)
        # The optimizer's variables, batch norm's averages and the state of dropout's generators.
        states = (*self._model.optimizer.variables, *self._model.non_trainable_variables)
        self._start = [(state, np.array(ops.convert_to_numpy(state))) for state in states]


class _Dropout(keras.layers.Dropout):
    """Keras's dropout; in `bench verify` it applies given masks, batch after batch.

    `masks` are the masks of all examples of an epoch. `seen` counts the examples trained so far.
    """

    masks: keras.Variable | None = None
    seen: keras.Variable

    def inject(self, masks: np.ndarray) -> bool:
        """Set the masks of the next epoch, (examples, *layer shape).

        Returns:
            Whether the variables are new. The training function must then be built again, as a
            compiled function does not contain them.
        """
        values = masks.astype(np.float32)
        if self.masks is not None and tuple(self.masks.shape) == values.shape:
            self.masks.assign(values)
            self.seen.assign(0)
            return False
        # Keras's own layers add late variables in this way. The training loops of all engines then
        # update them.
        self._tracker.unlock()
        self.masks = keras.Variable(values, trainable=False, name="masks")
        self.seen = keras.Variable(0, trainable=False, dtype="int32", name="seen")
        self._tracker.lock()
        return True

    # Keras defines the signature.
    def call(self, inputs: Any, training: bool = False) -> Any:  # noqa: FBT001, FBT002 - see above
        if self.masks is None or not training:
            return super().call(inputs, training=training)
        count = ops.shape(inputs)[0]
        rows = self.seen.value + ops.arange(count, dtype="int32")
        self.seen.assign(self.seen.value + count)
        return inputs * ops.take(self.masks.value, rows, axis=0) / (1.0 - self.rate)


def _layer(layer: Layer) -> keras.layers.Layer:
    match layer:
        case Dense(units=units, activation=activation):
            return keras.layers.Dense(units, activation=_activation(activation))
        case Conv2d():
            return keras.layers.Conv2D(
                layer.filters,
                layer.kernel_size,
                strides=layer.strides,
                padding=layer.padding,
                activation=_activation(layer.activation),
            )
        case MaxPool2d(pool_size=pool_size):
            return keras.layers.MaxPooling2D(pool_size)
        case AvgPool2d(pool_size=pool_size):
            return keras.layers.AveragePooling2D(pool_size)
        case BatchNorm(momentum=momentum, epsilon=epsilon):
            return keras.layers.BatchNormalization(
                axis=_channels_axis(), momentum=momentum, epsilon=epsilon
            )
        case Flatten():
            return keras.layers.Flatten()
        case Dropout(rate=rate):
            return _Dropout(rate)


def _channels_axis() -> int:
    """The axis of an image's channels; also of the values of a vector."""
    return 1 if keras.config.image_data_format() == "channels_first" else -1


def _activation(name: str) -> Any:
    if name == "leaky_relu":  # Keras's own slope is 0.2
        return partial(keras.activations.leaky_relu, negative_slope=LEAKY_SLOPE)
    return keras.activations.get(name)


def build_loss(workload: Workload) -> Any:
    """The workload's loss of labels (n,) and logits (n, classes), as an argument of `compile`."""
    if workload.loss == "softmax_cross_entropy":
        return keras.losses.SparseCategoricalCrossentropy(from_logits=True)

    def quadratic(labels: Any, logits: Any) -> Any:
        """The mean over the classes of (softmax - one-hot)^2, per example (n,).

        Keras computes the mean over the batch.
        """
        classes = ops.one_hot(ops.cast(ops.reshape(labels, (-1,)), "int32"), workload.input.classes)
        return keras.losses.mean_squared_error(classes, ops.softmax(logits))

    return quadratic
