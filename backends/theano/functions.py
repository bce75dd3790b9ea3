"""Theano: the data are shared variables, and one compiled function is a step.

As in Theano's tutorials, `givens` put a part of the shared data in the place of a batch. A step
takes the indices of its batch. Their number is not fixed, so a partial batch is the same function.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from backends import contract
from backends.contract import Job
from backends.formulas import Updates
from backends.layout import (
    batch_to_channels_first,
    from_channels_first,
    to_channels_first,
)
from backends.theano.device import configure, theano_settings
from backends.theano.framework import tensor, theano
from backends.theano.layers import Forward, forward, loss_of
from specs.model import Dropout, Sgd
from specs.shapes import Shape, infer_shapes

_SEEDS = int(theano.sandbox.rng_mrg.M2) - 1  # its seeds are from 1 to this number


class Theano:
    """`theano.shared`, `theano.function` with `updates` and `givens`, `theano.grad`.

    Theano has no optimizers, so `backends.formulas` is used.
    """

    def __init__(self, job: Job) -> None:
        configure(job)
        self._job = job
        layers = infer_shapes(job.workload)
        self._images = {
            name: None if name.endswith(".bias") else layer.flattened
            for layer in layers
            for name in layer.parameters | layer.state
        }
        self._dropped = [layer.flattened for layer in layers if isinstance(layer.layer, Dropout)]
        self._weights = {
            name: theano.shared(_to_theano(np.zeros(size, np.float32), self._images[name]))
            for layer in layers
            for name, size in layer.parameters.items()
        }
        self._state = {name: _zeros(size) for layer in layers for name, size in layer.state.items()}
        self._update = Updates(spec=job.workload.optimizer, sqrt=tensor.sqrt, expm1=tensor.expm1)
        self._slots = {
            name: [_zeros(weight.get_value().shape) for _ in self._update.initial_slots()]
            for name, weight in self._weights.items()
        }
        self._steps = _zeros(())
        self._begin()
        self._define_data()
        self._compile()

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._data.set_value(_channels_first(images), borrow=True)
        self._labels.set_value(labels, borrow=True)

    def set_weights(self, weights: contract.Weights) -> None:
        for name, variable in (self._weights | self._state).items():
            variable.set_value(_to_theano(weights[name], self._images[name]), borrow=True)

    def reset(self, weights: contract.Weights) -> None:
        self._begin()
        for (state, *_), start in zip(self._random.state_updates, self._random_start, strict=True):
            state.set_value(start)
        self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        values = self._weights | self._state
        return {
            name: from_channels_first(
                values[name].get_value(borrow=True), image, outputs_first=False
            )
            for name, image in self._images.items()
        }

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        size, total = self._job.batch_size, 0.0
        step = self._step if masks is None else self._compiled_masked_step()
        pairs = zip(masks or (), self._dropped, strict=False)
        kept = [batch_to_channels_first(*pair).astype(np.float32) for pair in pairs]
        for start in range(0, len(order), size):
            part = slice(start, start + size)
            loss = step(order[part], *(mask[part] for mask in kept))
            total += float(loss) * len(order[part])
        return total / len(order)

    def predict(self, images: contract.Images) -> contract.Logits:
        size = contract.PREDICTION_BATCH
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        logits = [self._logits(_channels_first(batch)) for batch in batches]
        return np.concatenate(logits)  # (n, classes)

    def sync(self) -> None:
        """Do nothing: Theano has finished a call when it returns."""

    def device_memory(self) -> None:
        return None

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**theano_settings(), "compiled": bool(self._step.maker.linker.use_cloop)}

    @property
    def examples_per_sum(self) -> int | None:
        """See `SumsIntoWeights`.

        Of a gradient and a plain update Theano makes one matrix product (`Gemm{inplace}`): BLAS
        adds the products of some hundred examples at a time to the weight; OpenBLAS of 256 or more.
        """
        return 256 if isinstance(self._job.workload.optimizer, Sgd) else None

    def _begin(self) -> None:
        """Set the optimizer's arrays and the number of steps to their first values."""
        self._steps.set_value(np.float32(0))
        for slots in self._slots.values():
            for slot, start in zip(slots, self._update.initial_slots(), strict=True):
                slot.set_value(np.full_like(slot.get_value(borrow=True), start), borrow=True)

    def _define_data(self) -> None:
        """Create the variables of the data, and of a batch."""
        height, width, channels = self._job.workload.input.shape
        self._data = _zeros((0, channels, height, width))
        self._labels = theano.shared(np.zeros(0, np.int64))
        self._batch = tensor.tensor4("images"), tensor.lvector("labels")
        self._rows = tensor.lvector("rows")
        parts = self._data[self._rows], self._labels[self._rows]
        self._givens = dict(zip(self._batch, parts, strict=True))

    def _compile(self) -> None:
        """Compile the function of a step, and that of a prediction."""
        workload, values = self._job.workload, self._weights | self._state
        self._random = theano.sandbox.rng_mrg.MRG_RandomStreams(seed=1 + self._job.seed % _SEEDS)
        images, labels = self._batch
        self._model = forward(workload, values, images, self._random, training=True)
        self._random_start = [state.get_value() for state, *_ in self._random.state_updates]
        self._loss = loss_of(workload, self._model.logits, labels)
        self._changes = self._updates_of(self._model)
        self._step = theano.function(
            [self._rows], self._loss, updates=self._changes, givens=self._givens
        )
        self._masked_step: Any = None
        predicted = forward(workload, values, images, self._random, training=False)
        self._logits = theano.function([images], predicted.logits)

    def _compiled_masked_step(self) -> Any:
        """The step whose masks are given, only for `bench verify`."""
        if self._masked_step is None:
            given = [mask.type() for mask in self._model.masks]
            replaced = dict(zip(self._model.masks, given, strict=True))
            self._masked_step = theano.function(
                [self._rows, *given],
                self._loss,
                updates=self._changes,
                givens={**self._givens, **replaced},
            )
        return self._masked_step

    def _updates_of(self, model: Forward) -> list[tuple[Any, Any]]:
        """The shared variables that a step changes, each with its new value."""
        number = self._steps + np.float32(1)
        changes = [(self._steps, number)]
        gradients = theano.grad(self._loss, [*self._weights.values()])
        for (name, weight), gradient in zip(self._weights.items(), gradients, strict=True):
            slots = self._slots[name]
            new, values = self._update.apply(number, weight, gradient, tuple(slots))
            changes += [(weight, new), *zip(slots, values, strict=True)]
        return [*changes, *((self._state[name], value) for name, value in model.state.items())]


def _zeros(shape: tuple[int, ...]) -> Any:
    """A shared variable of float32 zeros."""
    return theano.shared(np.zeros(shape, np.float32))


def _channels_first(images: contract.Images) -> np.ndarray:
    return np.ascontiguousarray(batch_to_channels_first(images))


def _to_theano(weight: np.ndarray, image: Shape | None) -> np.ndarray:
    """A weight in Theano's layout: dense kernels keep their axes."""
    return to_channels_first(weight, image, outputs_first=False)
