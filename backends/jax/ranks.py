"""JAX on several ranks: each is a device, and XLA divides the program between them.

The weights are on every device, and each batch is divided. The program is that of one device, so
batch norm and dropout are those of the whole batch; XLA adds the sums over the devices.
`backends.jax.nodes` has ranks on several nodes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from msgspec.structs import replace

from backends import contract
from backends.contract import Job, Unsupported, check_ranks, first_of, kind_of, ranks_per_node
from backends.jax.device import KINDS
from backends.jax.scan import Jax, _Training

_BATCH = "batch"  # the name of the axis over the devices


class _Placement(NamedTuple):
    """Where arrays are.

    Attributes:
        whole: every device has all of an array.
        split: every device has its part of each batch, of batches (steps, size).
    """

    whole: NamedSharding
    split: NamedSharding


def _place(job: Job) -> _Placement:
    """The placement for a job's ranks.

    Raises:
        Unsupported: JAX has fewer devices here.
    """
    kind, count = KINDS[kind_of(job.device)], ranks_per_node(job.device)
    if kind == "cpu":  # before JAX's first use, which makes the devices
        jax.config.update("jax_num_cpu_devices", count)
    devices = [
        device
        for process in range(jax.process_count())
        for device in jax.local_devices(process, kind)[:count]
    ]
    if len(devices) < job.ranks:
        raise Unsupported(f"JAX has {len(devices)} {kind} devices here, and {job.ranks} are wanted")
    mesh = Mesh(np.array(devices), (_BATCH,))
    return _Placement(
        NamedSharding(mesh, PartitionSpec()), NamedSharding(mesh, PartitionSpec(None, _BATCH))
    )


class JaxRanks(Jax):
    """`jax.sharding` over the batch."""

    def __init__(self, job: Job) -> None:
        self._shared_job, self._placement = job, _place(job)
        self._results = self._placement.whole
        super().__init__(replace(job, device=first_of(job.device)))
        self._now = self._put(self._now, self._placement.whole)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        check_ranks(self._shared_job, len(labels))
        super().load(images, labels)
        self._data = self._put(self._data, self._placement.whole)

    def set_weights(self, weights: contract.Weights) -> None:
        super().set_weights(weights)
        self._now = self._put(self._now, self._placement.whole)

    def settings(self) -> dict[str, str | int | bool | None]:
        weight = next(iter(self._now.weights.values()))
        return {**super().settings(), "ranks": len(weight.devices())}

    def _call(
        self, batches: np.ndarray, masks: Sequence[np.ndarray] | None
    ) -> tuple[_Training, jax.Array]:
        whole, split = self._placement
        divides = (
            batches.shape[1] % self._shared_job.ranks == 0
        )  # else every device has all of a batch
        return super()._call(*self._put((batches, masks), split if divides else whole))

    def _put(self, values: Any, sharding: NamedSharding) -> Any:
        """Place the arrays of a tree."""
        return jax.device_put(values, sharding)
