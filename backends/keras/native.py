"""The common part of the Keras adapters of all engines, in native mode.

They train as Keras's tutorials do: `compile`, `fit` on arrays, `predict`. The layers, the loss, the
optimizer and the batch size are the workload's. Keras's defaults apply to everything else: initial
weights, shuffle, input pipeline, the constants of batch norm and of the optimizer, the slope of
leaky_relu, and compilation.
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
    RmsProp: keras.optimizers.RMSprop,
    Adagrad: keras.optimizers.Adagrad,
    Adam: keras.optimizers.Adam,
    AdamW: keras.optimizers.AdamW,
    Adadelta: keras.optimizers.Adadelta,
}


class KerasNative(KerasModel):
    """`fit(images, labels, shuffle=True)` on NumPy arrays.

    The subclass of an engine adds its device, its settings and `_take`.
    """

    mode = "native"

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # Every `fit` converts the arrays for the engine.
        self._images, self._labels = images, labels

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        """Train on all loaded examples.

        Shuffle and dropout are Keras's own, so neither argument is used.

        Returns:
            The mean of the loss over the examples, as `fit` reports it.
        """
        del order, masks
        return float(self._fit().history["loss"][0])

    def predict(self, images: contract.Images) -> contract.Logits:
        with self._scope():
            # (n, classes); in batches of 32, Keras's default.
            return self._model.predict(images, verbose=0)

    def read_inputs(self) -> int:
        """Read an epoch of the input pipeline without training; copy every batch to the device.

        Keras has no public access to the pipeline that `fit` builds from arrays. So `fit` runs with
        `_take` as its training step, which only reads its argument. Depending on the engine, the
        argument is one batch, several batches or the whole pipeline.

        Returns:
            The number of examples.
        """
        self._read = 0
        train_function, self._model.train_function = self._model.train_function, self._take
        try:
            self._fit()
        finally:
            self._model.train_function = train_function
        return self._read

    def _take(self, *args: Any, **kwargs: Any) -> Any:
        """A step for the engine's `fit` that copies its batches to the device, without training.

        It adds the number of their examples to `_read`.
        """
        raise NotImplementedError

    def _fit(self) -> keras.callbacks.History:
        with self._scope():
            return self._model.fit(
                self._images,
                self._labels,
                batch_size=self._job.batch_size,
                epochs=1,
                shuffle=True,
                steps_per_epoch=self._steps(),  # `fit` has no other way to drop a partial batch
                verbose=0,
            )

    def _steps(self) -> int | None:
        """The number of batches to train on; None for all batches."""
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
        """The optimizer's name and its constants, as Keras reports them."""
        left_out = {"name", "ema_momentum"}  # the momentum is not used
        constants = [
            f"{name}={value:.6g}" if isinstance(value, float) else f"{name}={value}"
            for name, value in self._model.optimizer.get_config().items()
            if value is not None and value is not False and name not in left_out
        ]
        return " ".join([type(self._model.optimizer).__name__, *constants])


def build_optimizer(spec: Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that the workload names, with Keras's constants.

    Only SGD's momentum and nesterov are the workload's, as they select the method.
    """
    if isinstance(spec, Sgd):
        return keras.optimizers.SGD(momentum=spec.momentum, nesterov=spec.nesterov)
    return _OPTIMIZERS[type(spec)]()


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
