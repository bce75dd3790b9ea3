"""Backends that are wrong only as a timed job runs: at its batch size, late, or in a part of it.

`bench verify` trains small models with small batches, so it cannot see most of these.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

import numpy as np
from msgspec.structs import replace

from backends.reference.functions import loss_and_gradient
from backends.reference.oracle import Reference
from backends.reference.updates import build_update
from specs.initial import initial_weights
from tests.support.mutants import (
    DropsWhilePredicting,
    ForgetsOptimizerState,
    MultipliesInTf32,
    PredictsWithItsFirstWeights,
    TrainsInHalfPrecision,
)

Model = Literal["smooth", "flips", "dropout", "cnn"]


class Honest(Reference):
    """A correct backend that counts its steps and epochs since its last reset.

    `_changed` may change the gradients of a step: layer -> name -> gradient.
    """

    def _begin(self):
        super()._begin()
        self._steps, self._epochs = 0, 0

    def train_epoch(self, order, masks=None):
        loss = super().train_epoch(order, masks)
        self._epochs += 1
        return loss

    def _train_step(self, batch, masks):
        logits = self._forward(
            self._images[batch], self._draw(len(batch)) if masks is None else masks
        )
        loss, gradient = loss_and_gradient(self._job.workload.loss, logits, self._labels[batch])
        for layer in reversed(self._layers):
            gradient = layer.backward(gradient)
        self._change(batch)
        for layer in self._layers:
            for name, value in layer.weights.items():
                key = f"{layer.position}.{name}"
                layer.weights[name] = self._update(key, value, layer.gradients[name])
        self._steps += 1
        return loss

    def _change(self, batch):
        """Change `gradients` of the layers, as the defect does."""

    def _scale(self, factor, names=("kernel", "bias"), layers=slice(None)):
        weighted = [layer for layer in self._layers if layer.weights]
        for layer in weighted[layers]:
            for name in names:
                layer.gradients[name] = layer.gradients[name] * factor


class OwnMasks(Honest):
    """A correct backend whose dropout draws other masks than the reference."""

    def _begin(self):
        super()._begin()
        self._random = np.random.RandomState(self._job.seed + 1000)


class RoundsLikeFloat32(Honest):
    """A correct backend with the rounding errors of float32 in gradients and weights."""

    def _begin(self):
        super()._begin()
        self._rounding = np.random.RandomState(7)

    def _change(self, batch):
        for layer in self._layers:
            largest = max((np.abs(g).max() for g in layer.gradients.values()), default=0.0)
            for name, gradient in layer.gradients.items():
                error = 2.0**-23 * largest * self._rounding.uniform(-1.0, 1.0, gradient.shape)
                layer.gradients[name] = gradient + error

    def _train_step(self, batch, masks):
        loss = super()._train_step(batch, masks)
        for layer in self._layers:
            layer.weights = {
                k: v.astype(np.float32).astype(float) for k, v in layer.weights.items()
            }
        return loss


class AddsInParts(Honest):
    """A correct backend that adds each change to a weight of float32 in 320 different parts."""

    examples_per_sum = 0.1  # a batch has 32

    def _begin(self):
        super()._begin()
        self._parts = np.random.RandomState(7)

    def _train_step(self, batch, masks):
        before = [dict(layer.weights) for layer in self._layers]
        loss = super()._train_step(batch, masks)
        for layer, weights in zip(self._layers, before, strict=True):
            for name, start in weights.items():
                change, weight = layer.weights[name] - start, start.astype(np.float32)
                parts = self._parts.normal(0.0, 1.0, 320)
                for share in parts - parts.mean() + 1 / len(parts):
                    weight = (weight + share * change).astype(np.float32)
                layer.weights[name] = weight.astype(float)
        return loss


class NoGradientsAtSomeBatchSizes(Honest):
    """From PyTorch's TorchInductor on CPUs: convolutions have no gradients at 32 to 128 images."""

    def _change(self, batch):
        if 32 <= len(batch) <= 128:
            self._scale(0.0, layers=slice(1))


class NoGradientsInThePartialBatch(Honest):
    def _change(self, batch):
        if len(batch) < self._job.batch_size:
            self._scale(0.0)


class DividesThePartialBatchByTheNominalSize(Honest):
    """From MXNet Gluon's `Trainer.step(batch_size)`."""

    def _change(self, batch):
        self._scale(len(batch) / self._job.batch_size)


class DropsThePartialBatch(Honest):
    """From published JAX loops, which train full batches only."""

    def train_epoch(self, order, masks=None):
        size = self._job.batch_size
        return super().train_epoch(order[: len(order) // size * size], masks)


class DropoutIsNotScaled(OwnMasks):
    def _draw(self, examples):
        return [
            mask * (1.0 - layer.rate)
            for mask, layer in zip(
                super()._draw(examples),
                [layer for layer in self._layers if layer.drops],
                strict=True,
            )
        ]


class DropoutIsOffInTraining(OwnMasks):
    def _draw(self, examples):
        return [
            np.full((examples, *layer.shape), 1.0 - layer.rate)
            for layer in self._layers
            if layer.drops
        ]


class NoGradientsBehindDropout(OwnMasks):
    def _change(self, batch):
        self._scale(0.0, layers=slice(1))


class HalvesTheRateAfterStep200(Honest):
    def _change(self, batch):
        if self._steps == 200:
            optimizer = self._job.workload.optimizer
            slower = replace(optimizer, learning_rate=optimizer.learning_rate / 2)
            state = self._update
            self._update = build_update(slower)
            self._update.__dict__.update(
                {name: value for name, value in vars(state).items() if name != "_spec"}
            )


class NoGradientsFromTheSecondEpochOn(Honest):
    def _change(self, batch):
        if self._epochs:
            self._scale(0.0, layers=slice(1))


class RepeatsTheFirstOrder(Honest):
    """It shuffles once, before the first epoch."""

    _first = None

    def train_epoch(self, order, masks=None):
        if self._first is None or len(order) != len(self._first):
            self._first = order
        return super().train_epoch(self._first, masks)


class SkipsEveryTenthBatchInLongEpochs(Honest):
    def train_epoch(self, order, masks=None):
        size, examples = self._job.batch_size, len(order)
        if examples > len(self._labels) // 2:
            kept = np.arange(examples) // size % 10 != 9
            order = order[kept]
        return super().train_epoch(order, masks)


class ReadsOnlyTheFirstPartOfTheData(Honest):
    """The index of an image is kept in too few bits."""

    def train_epoch(self, order, masks=None):
        return super().train_epoch(order % (len(self._labels) * 3 // 4), masks)


class OneImageInTwentyHasAnotherLabel(Honest):
    def load(self, images, labels):
        wrong = labels.copy()
        last = slice(-len(labels) // 20, None)
        wrong[last] = (labels[last] + 1) % 10
        super().load(images, wrong)


class LosesHalfOfABiasWithTwoThreads(Honest):
    """Two threads add to one sum, and one of them is lost."""

    def _change(self, batch):
        if self._job.threads == 2:
            self._scale(0.5, names=("bias",))


class MultipliesInBfloat16(MultipliesInTf32):
    """Reduced precision is switched on, and nobody said so."""

    bits = 8


class ForgetsToZeroTheGradients(Honest):
    """From PyTorch loops without `zero_grad`: gradients add up."""

    def _begin(self):
        super()._begin()
        self._sums = {}

    def _change(self, batch):
        for layer in self._layers:
            for name, gradient in layer.gradients.items():
                key = layer.position, name
                self._sums[key] = self._sums.get(key, 0.0) + gradient
                layer.gradients[name] = self._sums[key]


class ClipsEachGradient(Honest):
    """From a port in which the bound of a norm was passed as its order."""

    def _change(self, batch):
        for layer in self._layers:
            for name, gradient in layer.gradients.items():
                norm = np.linalg.norm(gradient)
                layer.gradients[name] = gradient * min(1.0, 0.1 / max(norm, 1e-12))


class DividesTheLossTwice(Honest):
    """From Keras's data parallelism on TensorFlow: the loss was divided by the replicas twice."""

    def train_epoch(self, order, masks=None):
        return super().train_epoch(order, masks) / 2


class DividesTheGradientTwice(Honest):
    def _change(self, batch):
        self._scale(0.5)


class ShufflesInABuffer(Honest):
    """From a loader that shuffles within 1,024 images only: sorted data stay almost sorted."""

    def train_epoch(self, order, masks=None):
        if len(order) <= len(self._labels) // 2:
            return super().train_epoch(order, masks)
        by_label = order[np.argsort(self._labels[order], kind="stable")]
        parts = np.split(by_label, range(256, len(order), 256))
        random = np.random.RandomState(self._epochs)
        return super().train_epoch(np.concatenate([random.permutation(p) for p in parts]), masks)


class SkipsItsFirstStep(Honest):
    """From a scaler of float16 that skips its first steps until its scale fits."""

    def _train_step(self, batch, masks):
        before = self.exact_weights() if self._steps == 0 else None
        loss = super()._train_step(batch, masks)
        if before is not None:
            self.set_weights(before)
        return loss


class IgnoresTheInitialWeights(Honest):
    def set_weights(self, weights):
        super().set_weights(initial_weights(self._job.workload, self._job.seed + 1))


class ReportsTheLossOfTheLastBatch(Honest):
    def train_epoch(self, order, masks=None):
        size = self._job.batch_size
        super().train_epoch(order[:-size], masks and [mask[:-size] for mask in masks])
        return super().train_epoch(order[-size:], masks and [mask[-size:] for mask in masks])


class OneTensorDoesNotMove(OwnMasks):
    """A bias is not among the trained variables."""

    def _change(self, batch):
        self._scale(0.0, names=("bias",), layers=slice(1))


# Mutant -> the model on which it is tried.
TIMED_MUTANTS: Mapping[type[Reference], Model] = MappingProxyType(
    {
        NoGradientsAtSomeBatchSizes: "cnn",
        NoGradientsInThePartialBatch: "smooth",
        DividesThePartialBatchByTheNominalSize: "smooth",
        DropsThePartialBatch: "flips",
        DropoutIsNotScaled: "dropout",
        DropoutIsOffInTraining: "dropout",
        NoGradientsBehindDropout: "dropout",
        HalvesTheRateAfterStep200: "smooth",
        ForgetsOptimizerState: "smooth",
        NoGradientsFromTheSecondEpochOn: "flips",
        RepeatsTheFirstOrder: "smooth",
        SkipsEveryTenthBatchInLongEpochs: "smooth",
        ReadsOnlyTheFirstPartOfTheData: "flips",
        OneImageInTwentyHasAnotherLabel: "flips",
        LosesHalfOfABiasWithTwoThreads: "flips",
        MultipliesInBfloat16: "flips",
        MultipliesInTf32: "smooth",
        TrainsInHalfPrecision: "flips",
        PredictsWithItsFirstWeights: "flips",
        DropsWhilePredicting: "dropout",
        ForgetsToZeroTheGradients: "smooth",
        ClipsEachGradient: "flips",
        DividesTheLossTwice: "smooth",
        DividesTheGradientTwice: "smooth",
        ShufflesInABuffer: "flips",
        SkipsItsFirstStep: "flips",
        IgnoresTheInitialWeights: "smooth",
        ReportsTheLossOfTheLastBatch: "dropout",
        OneTensorDoesNotMove: "dropout",
    }
)
