"""Keras on JAX, trained by `model.fit`.

The data are on the device, and one compiled gather makes each batch.
"""

from __future__ import annotations

from collections.abc import Iterator

import jax
import keras
import numpy as np

from backends import contract
from backends.contract import Job
from backends.jax import device
from backends.keras.model import KerasModel


class KerasJax(KerasModel):
    """`fit` over a generator of batches; prediction is the model's stateless call, compiled."""

    def __init__(self, job: Job) -> None:
        self._device, self._data = device.require_device(job), ()
        super().__init__(job)
        self._gather = jax.jit(lambda images, labels, rows: (images[rows], labels[rows]))
        self._compiled_call = jax.jit(
            lambda *values: self._model.stateless_call(*values, training=False)[0]
        )

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # On the default device.
        self._data = jax.device_put((images, labels.astype(np.int32)))

    def sync(self) -> None:
        variables = (*self._model.variables, *self._model.optimizer.variables)
        jax.block_until_ready((self._data, [variable.value for variable in variables]))

    def device_memory(self) -> contract.DeviceMemory | None:
        return device.device_memory(self._device)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            **device.jax_settings(),
            "compiled": bool(self._model.jit_compile),
            "device": str(next(iter(self._model.trainable_variables[0].value.devices()))),
            "keras_backend": keras.backend.backend(),
        }

    def _batches(self, order: contract.Order) -> Iterator[tuple[jax.Array, jax.Array]]:
        rows, size = order.astype(np.int32), self._job.batch_size  # JAX has no int64 by default
        for start in range(0, len(rows), size):
            yield self._gather(*self._data, rows[start : start + size])

    def _logits(self, images: contract.Images) -> jax.Array:
        weights = [variable.value for variable in self._model.trainable_variables]
        state = [variable.value for variable in self._model.non_trainable_variables]
        return self._compiled_call(weights, state, images)


class KerasJaxTuned(KerasJax):
    """Keras on JAX with 16 training steps between two returns to `fit`, and without YNNPACK.

    Each step is a separate compiled call, outside a compiled loop. On a CPU core an epoch of
    mnist-5k took 0.5 times the CPU time of `KerasJax` with softmax and 0.8 times with the MLP.
    """

    steps_per_execution = 16

    def __init__(self, job: Job) -> None:
        device.switch_off_ynnpack()
        super().__init__(job)
