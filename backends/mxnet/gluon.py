"""MXNet's Gluon: the data are MXNet's arrays, and one `take` makes each batch.

Layers, autograd, `Trainer` and most optimizers are MXNet's own.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from backends import contract
from backends.contract import Job, Unsupported
from backends.layout import batch_to_channels_first, from_channels_first, to_channels_first
from backends.mxnet.device import STATIC, configure, device_settings
from backends.mxnet.layers import Model, Training, build_loss
from backends.mxnet.library import gluon, mx
from backends.mxnet.updates import build_optimizer


class Mxnet:
    """`HybridSequential`, `autograd.record`, `backward`, `Trainer.step`."""

    def __init__(self, job: Job) -> None:
        if job.mode != "matched":
            raise Unsupported("MXNet is retired: this adapter trains in matched mode only")
        configure(job)
        self._job = job
        self._model, loss = Model(job.workload), build_loss(job.workload)
        self._model.initialize(mx.init.Zero())  # draws no random numbers
        self._training, self._masked = (Training(self._model, loss) for _ in range(2))
        self._training.hybridize(**STATIC)
        self._masked.hybridize(**STATIC)
        self._trainer = self._new_trainer()

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        # MXNet's layout is (n, channels, height, width).
        self._images = mx.nd.array(batch_to_channels_first(images), dtype="float32")
        self._labels = mx.nd.array(labels, dtype="int32")

    def set_weights(self, weights: contract.Weights) -> None:
        for name, (parameter, image) in self._model.places.items():
            parameter.set_data(
                mx.nd.array(to_channels_first(weights[name], image), dtype="float32")
            )

    def reset(self, weights: contract.Weights) -> None:
        # The optimizer's state is in the trainer. Graphs belong to the blocks, which are kept.
        self._trainer = self._new_trainer()
        mx.random.seed(self._job.seed)
        self.set_weights(weights)

    def get_weights(self) -> contract.Weights:
        return {
            name: from_channels_first(parameter.data().asnumpy(), image)
            for name, (parameter, image) in self._model.places.items()
        }

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        size, losses = self._job.batch_size, []
        rows = mx.nd.array(order, dtype="int32")
        for start in range(0, len(order), size):
            batch = rows[start : start + size]
            examples = mx.nd.take(self._images, batch), mx.nd.take(self._labels, batch)
            with mx.autograd.record():
                if masks is None:
                    loss = self._training(*examples)
                else:
                    loss = self._masked(*examples, *self._masks_of(masks, start))
            loss.backward()
            self._trainer.step(len(batch))  # divides the sum of the gradients by it
            # The losses stay in MXNet until the end, because reading them would wait for the step.
            losses.append(loss)
        return float(mx.nd.concat(*losses, dim=0).asnumpy().mean(dtype=np.float64))

    def predict(self, images: contract.Images) -> contract.Logits:
        size = contract.PREDICTION_BATCH
        batches = (images[start : start + size] for start in range(0, len(images), size))
        logits = [
            self._model(mx.nd.array(batch_to_channels_first(batch), dtype="float32"))
            for batch in batches
        ]
        return np.concatenate([batch.asnumpy() for batch in logits])  # (n, classes)

    def sync(self) -> None:
        mx.nd.waitall()

    def device_memory(self) -> None:
        return None

    def settings(self) -> dict[str, str | int | bool | None]:
        weight, _ = next(iter(self._model.places.values()))
        return {
            **device_settings(),
            "dtype": np.dtype(weight.data().dtype).name,
            "optimizer": type(self._trainer.optimizer).__name__,
            "compiled": False,
            "device": weight.data().context.device_type,
        }

    def _new_trainer(self) -> Any:
        optimizer = build_optimizer(self._job.workload.optimizer)
        return gluon.Trainer(self._model.collect_params(), optimizer)

    def _masks_of(self, masks: contract.Masks, start: int) -> Iterator[Any]:
        """The masks of the step whose first example has this position in the epoch."""
        for dropout, epoch_mask in zip(self._model.dropouts, masks, strict=True):
            mask = epoch_mask[start : start + self._job.batch_size]
            yield mx.nd.array(batch_to_channels_first(mask, dropout.image), dtype="float32")
