"""Keras on JAX in native mode, with the matched adapter's device and settings."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from typing import Any

import jax

from backends.keras.jax import KerasJax
from backends.keras.native import KerasNative


class KerasJaxNative(KerasNative, KerasJax):
    """`fit` gathers each batch with NumPy, and the compiled step copies it to the device."""

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**super().settings(), "optimizer": self._optimizer_text()}

    def _take(self, state: Any, batches: Iterator[tuple[Any, Any]]) -> tuple[dict[str, Any], Any]:
        for batch in islice(batches, self._steps()):
            _, labels = jax.block_until_ready(jax.device_put(batch))
            self._read += len(labels)
        self._model.stop_training = True  # all batches have been read in one step
        return {}, state
