"""Keras as its tutorials write it, alike on every engine: `compile`, `fit` on arrays, `predict`, its own constants.

Initial weights, shuffle, input pipeline, batch norm's and the optimizer's constants, an
activation's slope and whether to compile are left to Keras; the workload decides on the structure
alone.
"""

from __future__ import annotations

from typing import Any

import keras

from backends import contract
from backends.keras.model import KerasModel, build_loss
from specs.model import (
    Adadelta,
    Adagrad,
    Adam,
    AdamW,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Dropout,
    Flatten,
    Layer,
    MaxPool2d,
    Optimizer,
    RmsProp,
    Sgd,
    Workload,
)
from specs.shapes import infer_shapes

_OPTIMIZERS = {
    Sgd: keras.optimizers.SGD,
    RmsProp: keras.optimizers.RMSprop,
    Adagrad: keras.optimizers.Adagrad,
    Adam: keras.optimizers.Adam,
    AdamW: keras.optimizers.AdamW,
    Adadelta: keras.optimizers.Adadelta,
}


class KerasNative(KerasModel):
    """`fit(images, labels, shuffle=True)` on NumPy arrays; an engine adds its device and settings, and `_take`."""

    mode = "native"

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._images, self._labels = (
            images,
            labels,
        )  # what an engine needs of them it makes in every `fit`

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:  # noqa: ARG002 - see below
        """Train on all loaded examples: shuffle and dropout are Keras's own, so neither argument is read."""
        return float(self._fit().history["loss"][0])

    def predict(self, images: contract.Images) -> contract.Logits:
        with self._scope():
            return self._model.predict(
                images, verbose=0
            )  # (n, classes), in Keras's own batches of 32

    def read_inputs(self) -> int:
        """One epoch of the input pipeline, every batch brought to the device; returns the number of examples.

        Nothing public leads to the pipeline that `fit` makes of arrays. So `fit` itself runs, with
        a step that trains nothing: it takes what it is given, the whole pipeline at once where that
        is what `fit` gives to a step.
        """
        self._read = 0
        trained, self._model.train_function = self._model.train_function, self._take
        try:
            self._fit()
        finally:
            self._model.train_function = trained
        return self._read

    def _take(self, *args: Any, **kwargs: Any) -> Any:
        """A step for the engine's `fit`: bring what it is given to the device, count it in `_read`, train nothing."""
        raise NotImplementedError

    def _fit(self) -> keras.callbacks.History:
        with self._scope():
            return self._model.fit(
                self._images,
                self._labels,
                batch_size=self._job.batch_size,
                epochs=1,
                shuffle=True,
                steps_per_epoch=self._steps(),  # the only way that `fit` has to drop a partial batch
                verbose=0,
            )

    def _steps(self) -> int | None:
        """How many batches to train on; None for all."""
        drop = self._job.workload.recipe.last_partial_batch == "drop"
        return len(self._labels) // self._job.batch_size if drop else None

    def _build(self, workload: Workload) -> None:
        self._model = keras.Sequential(
            [keras.Input(workload.input.shape), *map(_layer, workload.layers)]
        )
        self._variables = {
            name: variable
            for shape, layer in zip(infer_shapes(workload), self._model.layers, strict=True)
            for name, variable in zip(shape.parameters | shape.state, layer.weights, strict=True)
        }
        self._model.compile(
            optimizer=build_optimizer(workload.optimizer), loss=build_loss(workload)
        )

    def _optimizer_text(self) -> str:
        """The optimizer and its constants, as Keras says them."""
        said = [
            f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self._model.optimizer.get_config().items()
            if value is not None
            and value is not False
            and name not in {"name", "ema_momentum"}  # the latter is unused
        ]
        return " ".join([type(self._model.optimizer).__name__, *said])


def build_optimizer(spec: Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that the spec names with Keras's constants; SGD's momentum is the spec's: it names the method."""
    extra = {"momentum": spec.momentum, "nesterov": spec.nesterov} if isinstance(spec, Sgd) else {}
    return _OPTIMIZERS[type(spec)](**extra)


def _layer(layer: Layer) -> keras.layers.Layer:
    match layer:
        case Dense():
            return keras.layers.Dense(layer.units, activation=layer.activation)
        case Conv2d():
            return keras.layers.Conv2D(
                layer.filters,
                layer.kernel_size,
                strides=layer.strides,
                padding=layer.padding,
                activation=layer.activation,
            )
        case MaxPool2d():
            return keras.layers.MaxPooling2D(layer.pool_size)
        case AvgPool2d():
            return keras.layers.AveragePooling2D(layer.pool_size)
        case BatchNorm():
            return keras.layers.BatchNormalization()
        case Flatten():
            return keras.layers.Flatten()
        case Dropout():
            return keras.layers.Dropout(layer.rate)
