"""Deliberately wrong backends: each breaks the reference in one way that was seen in a published harness or a port."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from backends.reference import Reference
from backends.reference_updates import build_update


class SumsTheLoss(Reference):
    def train_epoch(self, order, masks=None):
        return super().train_epoch(order, masks) * len(order)


class SkipsTheLastBatch(Reference):
    def train_epoch(self, order, masks=None):
        whole = len(order) // self._job.batch_size * self._job.batch_size or len(order)
        return super().train_epoch(order[:whole], masks and [mask[:whole] for mask in masks])


class AveragesBatchMeans(Reference):
    def train_epoch(self, order, masks=None):
        size = self._job.batch_size
        losses = [
            super(AveragesBatchMeans, self).train_epoch(
                order[start : start + size], masks and [mask[start : start + size] for mask in masks]
            )
            for start in range(0, len(order), size)
        ]
        return float(np.mean(losses))


class IgnoresTheOrder(Reference):
    def train_epoch(self, order, masks=None):
        return super().train_epoch(np.sort(order), masks)


class TransposesAKernel(Reference):
    def get_weights(self):
        return {
            name: value.swapaxes(0, 1) if value.ndim > 1 and value.shape[0] == value.shape[1] else value[::-1]
            for name, value in super().get_weights().items()
        }


class EditsItsInput(Reference):
    def train_epoch(self, order, masks=None):
        loss = super().train_epoch(order, masks)
        self._images[0] += 1e-3
        return loss


class ReturnsSoftmax(Reference):
    def predict(self, images):
        exponents = np.exp(super().predict(images))
        return exponents / exponents.sum(axis=1, keepdims=True)


class ReturnsFloat64(Reference):
    def predict(self, images):
        return super().predict(images).astype(np.float64)


class DropsWhilePredicting(Reference):
    def predict(self, images):
        return self._forward(images, self._draw(len(images))).astype(np.float32)


class NeverTrains(Reference):
    def _train_step(self, batch, masks):
        before = self.get_weights()
        loss = super()._train_step(batch, masks)
        self.set_weights(before)
        return loss


class TrainsWhilePredicting(Reference):
    def predict(self, images):
        logits = super().predict(images)
        for layer in self._layers:
            for name in layer.weights:
                layer.weights[name] = layer.weights[name] * 0.999
        return logits


class ForgetsOptimizerState(Reference):
    def train_epoch(self, order, masks=None):
        self._update = build_update(self._job.workload.optimizer)
        return super().train_epoch(order, masks)


class IgnoresTheMasks(Reference):
    def train_epoch(self, order, masks=None):
        return super().train_epoch(order, None)


class DropsNothingByItself(Reference):
    def _draw(self, examples):
        return [np.full((examples, *layer.shape), 1 - layer.rate) for layer in self._layers if layer.drops]


class DropsWithoutASeed(Reference):
    def __init__(self, job):
        super().__init__(job)
        self._random = np.random.RandomState()


class _OtherOptimizer(Reference):
    changes: dict[str, object] = {}

    def __init__(self, job):
        super().__init__(job)
        known = {name: value for name, value in self.changes.items() if hasattr(job.workload.optimizer, name)}
        self._update = build_update(replace(job.workload.optimizer, **known))


class OtherFormOfAdam(_OtherOptimizer):
    changes = {"epsilon_form": "before_correction"}


class ForgetsNesterov(_OtherOptimizer):
    changes = {"nesterov": False}


class AveragesTheUnbiasedVariance(Reference):
    def _train_step(self, batch, masks):
        normal = [layer for layer in self._layers if layer.state]
        before = [layer.state["variance"] for layer in normal]
        loss = super()._train_step(batch, masks)
        for layer, old in zip(normal, before, strict=True):
            kept, n = layer.spec.momentum * old, layer.normal.size // layer.normal.shape[-1]
            layer.state["variance"] = kept + (layer.state["variance"] - kept) * n / (n - 1)
        return loss


class NormalisesByTheBatchWhilePredicting(Reference):
    def predict(self, images):
        return self._forward(images, []).astype(np.float32)


class PadsAtTheStart(Reference):
    def __init__(self, job):
        super().__init__(job)
        for layer in self._layers:
            if hasattr(layer, "padding"):
                layer.padding = [(after, before) for before, after in layer.padding]


class WrongEpsilon(_OtherOptimizer):
    changes = {"epsilon": 1e-6}


class WrongEpsilonForm(_OtherOptimizer):
    changes = {"epsilon_form": "outside_root"}


class WrongLearningRate(_OtherOptimizer):
    changes = {"learning_rate": 1.01e-3}


class WrongDecay(_OtherOptimizer):
    changes = {"rho": 0.99}


# Mutant -> a workload on which it must be caught.
MUTANTS = {
    SumsTheLoss: "softmax",
    SkipsTheLastBatch: "softmax",
    AveragesBatchMeans: "softmax",
    IgnoresTheOrder: "softmax",
    TransposesAKernel: "dropout",
    EditsItsInput: "softmax",
    ReturnsSoftmax: "softmax",
    ReturnsFloat64: "softmax",
    DropsWhilePredicting: "dropout",
    NeverTrains: "softmax",
    TrainsWhilePredicting: "softmax",
    ForgetsOptimizerState: "mlp-relu",
    IgnoresTheMasks: "dropout",
    DropsNothingByItself: "dropout",
    DropsWithoutASeed: "dropout",
    OtherFormOfAdam: "strides",
    ForgetsNesterov: "batch norm",
    AveragesTheUnbiasedVariance: "batch norm",
    NormalisesByTheBatchWhilePredicting: "batch norm",
    PadsAtTheStart: "strides",
    WrongEpsilon: "mlp-relu",
    WrongEpsilonForm: "mlp-relu",
    WrongLearningRate: "mlp-relu",
    WrongDecay: "mlp-relu",
}
