"""Plain JAX: the data are on the device, and a compiled scan trains some batches in one call.

See `backends.contract.steps_per_call`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

import jax
import numpy as np
from jax import Array
from jax import numpy as jnp
from jax.sharding import Sharding

from backends import contract
from backends.contract import Job, Unsupported
from backends.formulas import Updates
from backends.jax import device as jax_device
from backends.jax.layers import Pool, draw_masks, forward, loss_of, max_pool
from specs.model import Workload
from specs.shapes import infer_shapes

# The precision of a job -> the type of the factors of products.
_KINDS = {"float32": jnp.float32, "tf32": jnp.float32, "bfloat16": jnp.bfloat16}


class _Training(NamedTuple):
    """The values that a step changes.

    Attributes:
        weights: name -> weight.
        slots: name of a weight -> the arrays that the optimizer keeps for it.
        state: name -> batch norm's running mean or variance.
        step: the number of finished steps.
        key: dropout's random key.
    """

    weights: dict[str, Array]
    slots: dict[str, tuple[Array, ...]]
    state: dict[str, Array]
    step: Array
    key: Array


class Jax:
    """`value_and_grad`, `lax.scan`, `jit`.

    JAX has no optimizers, so `backends.formulas` is used.
    """

    unroll = 1  # the steps in one turn of the scan's loop
    _results: Sharding | None = None  # where its values are; None: on the one device

    def __init__(self, job: Job) -> None:
        if not job.compiled or job.mode != "matched":
            raise Unsupported("this adapter trains compiled, in matched mode")
        self._job, self._device = job, jax_device.require_device(job)
        self._update = Updates(spec=job.workload.optimizer, sqrt=jnp.sqrt, expm1=jnp.expm1)
        self._shapes = infer_shapes(job.workload)
        self._names = [name for shape in self._shapes for name in shape.parameters | shape.state]
        self._now, self._data = self._start(), ()
        # The new values are written to the memory of the old ones.
        model = partial(forward, job.workload, kind=_KINDS[job.precision], pool=self._pool())
        train = partial(_train, job.workload, model, self._update, self.unroll)
        self._train = jax.jit(train, donate_argnums=0, out_shardings=self._results)
        self._logits = jax.jit(lambda values, images: model(values, images, [], training=False)[0])

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._data = jax.device_put((images, labels.astype(np.int32)))  # on the default device
        self._steps = contract.steps_per_call(self._job, len(labels))

    def set_weights(self, weights: contract.Weights) -> None:
        # Copies, as arrays on a CPU may share NumPy's memory, and every step overwrites the memory
        # of its arguments.
        new = {name: jnp.array(weights[name], copy=True) for name in self._names}
        weights, state = (
            {name: new[name] for name in kind} for kind in (self._now.weights, self._now.state)
        )
        self._now = self._now._replace(weights=weights, state=state)

    def reset(self, weights: contract.Weights) -> None:
        del self._now  # else both states would be in memory
        self._now = self._start()
        self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        return {name: np.array(self._values()[name]) for name in self._names}

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        losses = []  # an array (steps,) per call, which stays on the device until all are queued
        for part, rows in contract.split_epoch(len(order), self._job.batch_size, self._steps):
            # JAX has no 64-bit integers by default.
            batches = _stack(order[part].astype(np.int32), rows)
            stacked = masks and [_stack(mask[part], rows) for mask in masks]
            self._now, step_losses = self._call(batches, stacked)
            losses.append((step_losses, rows))
        totals = (float(np.asarray(each, np.float64).sum()) * rows for each, rows in losses)
        return sum(totals) / len(order)

    def _call(
        self, batches: np.ndarray, masks: Sequence[np.ndarray] | None
    ) -> tuple[_Training, Array]:
        """Train on some batches, see `_train`."""
        now, losses = self._train(self._now, self._data, batches, masks)
        return now, losses

    def predict(self, images: contract.Images) -> contract.Logits:
        values, size = self._values(), contract.PREDICTION_BATCH
        logits = [
            self._logits(values, images[start : start + size])
            for start in range(0, len(images), size)
        ]
        return np.concatenate(jax.device_get(logits))  # (n, classes)

    def sync(self) -> None:
        jax.block_until_ready((self._now, self._data))

    def device_memory(self) -> contract.DeviceMemory | None:
        return jax_device.device_memory(self._device)

    def settings(self) -> dict[str, str | int | bool | None]:
        device = str(next(iter(next(iter(self._now.weights.values())).devices())))
        return {
            **jax_device.jax_settings(),
            "compiled": not jax.config.jax_disable_jit,
            "device": device,
        }

    def _pool(self) -> Pool:
        return max_pool

    def _values(self) -> dict[str, Array]:
        return self._now.weights | self._now.state

    def _start(self) -> _Training:
        """The values before the first step, with weights 0."""
        sizes = [(shape.parameters, shape.state) for shape in self._shapes]
        weights = {name: jnp.zeros(size) for kind, _ in sizes for name, size in kind.items()}
        state = {name: jnp.zeros(size) for _, kind in sizes for name, size in kind.items()}
        slots = {
            name: tuple(jnp.full_like(weight, value) for value in self._update.initial_slots())
            for name, weight in weights.items()
        }
        return _Training(weights, slots, state, jnp.zeros(()), jax.random.key(self._job.seed))


def _train(
    workload: Workload,
    model: Callable[..., tuple[Array, dict[str, Array]]],
    update: Updates,
    unroll: int,
    now: _Training,
    data: tuple[Array, Array],
    batches: Array,
    given_masks: list[Array] | None,
) -> tuple[_Training, Array]:
    """Train on batches (steps, size) of indices.

    `model` is `forward` of the workload. `data` are all images and labels. `given_masks` are
    dropout's masks (steps, size, *shape) in `bench verify`, otherwise None.

    Returns:
        The new values, and each step's loss (steps,).
    """

    def step(now: _Training, batch: tuple[Array, list[Array] | None]) -> tuple[_Training, Array]:
        rows, masks = batch
        images, labels = data[0][rows], data[1][rows]
        key, dropout_key = jax.random.split(now.key)
        kept = draw_masks(workload, dropout_key, len(rows)) if masks is None else masks

        def loss(weights: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
            logits, state = model(weights | now.state, images, kept, training=True)
            return loss_of(workload, logits, labels), state

        (value, state), gradients = jax.value_and_grad(loss, has_aux=True)(now.weights)
        number = now.step + 1.0
        new = {
            name: update.apply(number, weight, gradients[name], now.slots[name])
            for name, weight in now.weights.items()
        }
        weights = {name: weight for name, (weight, _) in new.items()}
        slots = {name: arrays for name, (_, arrays) in new.items()}
        return _Training(weights, slots, state, number, key), value

    given = (batches, given_masks)
    if len(batches) == 1:  # without a loop in the compiled program
        after, loss = step(now, jax.tree.map(lambda values: values[0], given))
        return after, loss[None]
    trained: tuple[_Training, Array] = jax.lax.scan(step, now, given, unroll=unroll)
    return trained


def _stack(values: np.ndarray, size: int) -> np.ndarray:
    """The values (n, ...) in the shape (n / size, size, ...)."""
    return values.reshape(-1, size, *values.shape[1:])
