"""Keras on JAX, trained by `model.fit`: the data on the device, one compiled gather per batch."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import keras
import numpy as np

from backends import contract
from backends.contract import Job, Unsupported
from backends.keras_model import KerasModel

_KINDS = {"cpu": "cpu", "cuda": "cuda", "mps": "METAL", "xpu": "xpu"}  # how JAX, and its plug-ins, call a platform


class KerasJax(KerasModel):
    """`fit` over a generator; prediction is the model's stateless call, compiled."""

    def __init__(self, job: Job) -> None:
        if job.deterministic and job.device != "cpu":
            raise Unsupported("XLA is told to be deterministic by a flag at its start, which this adapter does not set")
        kind, _, index = job.device.partition(":")
        try:  # of NVIDIA's GPUs the worker sees one only
            self._device = jax.devices(_KINDS[kind])[int(index) if kind == "xpu" else 0]
        except (RuntimeError, IndexError) as error:
            why = f"JAX {jax.__version__} reports no {kind} device {index}: no build for it, or no driver"
            raise Unsupported(why) from error
        jax.config.update("jax_default_device", self._device)
        jax.config.update("jax_default_matmul_precision", "tensorfloat32" if job.precision == "tf32" else "highest")
        super().__init__(job)
        self._gather = jax.jit(lambda images, labels, rows: (images[rows], labels[rows]))
        self._compiled_call = jax.jit(lambda *values: self._model.stateless_call(*values, training=False)[0])

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._images, self._labels = jax.device_put((images, labels.astype(np.int32)))  # on the default device

    def sync(self) -> None:
        jax.block_until_ready([v.value for v in (*self._model.variables, *self._model.optimizer.variables)])

    def device_memory(self) -> contract.DeviceMemory | None:
        figures = self._device.memory_stats() or {}
        peak = figures.get("peak_bytes_in_use")
        return None if peak is None or self._job.device == "cpu" else contract.DeviceMemory(allocator_peak_bytes=peak)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            "threads": None,  # XLA's pool has a thread per CPU that the scheduler allows, and cannot be asked
            "default_matmul_precision": jax.config.jax_default_matmul_precision,
            "compiled": bool(self._model.jit_compile),
            "device": str(next(iter(self._model.trainable_variables[0].value.devices()))),
            "keras_backend": keras.backend.backend(),
        }

    def _batches(self, order: contract.Order) -> Iterator[tuple[jax.Array, jax.Array]]:
        rows = order.astype(np.int32)  # JAX has no 64-bit integers unless asked
        for start in range(0, len(rows), self._job.batch_size):
            yield self._gather(self._images, self._labels, rows[start : start + self._job.batch_size])

    def _logits(self, images: contract.Images) -> jax.Array:
        trained, kept = self._model.trainable_variables, self._model.non_trainable_variables
        return self._compiled_call([v.value for v in trained], [v.value for v in kept], images)
