"""TensorFlow without Keras on several ranks: `MirroredStrategy`, with variables on each device."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress

import tensorflow as tf
from msgspec.structs import replace

from backends import contract
from backends.contract import Job, Unsupported, check_ranks, first_of, kind_of
from backends.tensorflow import device as tensorflow_device
from backends.tensorflow.layers import loss_of
from backends.tensorflow.loop import TensorFlow
from backends.tensorflow.updates import FusedUpdates
from specs.model import BatchNorm


class TensorFlowRanks(TensorFlow):
    """Each device trains on its part of a batch, and the gradients are added over the devices."""

    def __init__(self, job: Job) -> None:
        if any(isinstance(layer, BatchNorm) for layer in job.workload.layers):
            raise Unsupported(
                "batch norm over the batch of all ranks is not implemented in this adapter yet"
            )
        first = replace(job, device=first_of(job.device))
        tensorflow_device.configure(first)  # before the devices are made
        # The usual one for CPUs mixes up the sums of several weights in a loop of the graph.
        on_cpu = kind_of(job.device) == "cpu"
        sums = tf.distribute.ReductionToOneDevice() if on_cpu else tf.distribute.NcclAllReduce()
        self._strategy = tf.distribute.MirroredStrategy(_devices(job), cross_device_ops=sums)
        self._shared_job = job
        with self._strategy.scope():
            super().__init__(first)
            self._optimizer = _Updates(job.workload.optimizer, self._weights, fused=True)

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        check_ranks(self._shared_job, len(labels))
        with self._strategy.scope():
            super().load(images, labels)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**super().settings(), "ranks": self._strategy.num_replicas_in_sync}

    def _train_step(self, rows: tf.Tensor, kept: list[tf.Tensor]) -> tf.Tensor:
        loss, gradients = self._strategy.run(self._gradients, (rows, kept))
        self._optimizer.apply(gradients)
        return self._strategy.reduce(tf.distribute.ReduceOp.SUM, loss, axis=None)

    def _gradients(
        self, rows: tf.Tensor, kept: list[tf.Tensor]
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """This rank's part of the mean loss over the batch, and the gradients of all ranks."""
        context = tf.distribute.get_replica_context()
        count, rank = self._shared_job.ranks, context.replica_id_in_sync_group
        size = tf.size(rows)
        part = slice(size * rank // count, size * (rank + 1) // count)
        own = rows[part]
        images, labels = tf.gather(self._images, own), tf.gather(self._labels, own)
        masks = [mask[part] for mask in kept]
        with tf.GradientTape() as tape:
            logits, _ = self._forward(self._weights, images, masks, training=True)
            share = tf.cast(tf.size(own), tf.float32) / tf.cast(size, tf.float32)
            loss = loss_of(self._job.workload, logits, labels) * share
        gradients = tape.gradient(loss, self._weights)
        return loss, context.all_reduce(tf.distribute.ReduceOp.SUM, gradients)


class _Updates(FusedUpdates):
    """The same update on every device, of its own copy of each variable."""

    def apply(self, gradients: Mapping[str, tf.Tensor]) -> None:
        step = self._step.assign_add(1.0, read_value=True)
        for name, weight in self._weights.items():
            slots = self._slots[name]
            extended = weight.distribute_strategy.extended
            extended.update(weight, self._update, args=(step, gradients[name], *slots))

    def _update(
        self, weight: tf.Variable, step: tf.Tensor, gradient: tf.Tensor, *slots: tf.Variable
    ) -> None:
        self._apply(step, weight, gradient, [*slots])


def _devices(job: Job) -> list[str]:
    """The names of the ranks' devices.

    Raises:
        Unsupported: TensorFlow has fewer here.
    """
    kind = "CPU" if kind_of(job.device) == "cpu" else "GPU"
    if kind == "CPU":
        [cpu] = tf.config.list_physical_devices("CPU")
        devices = [tf.config.LogicalDeviceConfiguration()] * job.ranks
        with suppress(RuntimeError):  # they were made for an earlier adapter of this process
            tf.config.set_logical_device_configuration(cpu, devices)
    found = [device.name for device in tf.config.list_logical_devices(kind)]
    if len(found) < job.ranks:
        raise Unsupported(f"TensorFlow has {len(found)} {kind} devices here, not {job.ranks}")
    return found[: job.ranks]
