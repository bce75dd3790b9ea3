"""Backends that train in bfloat16: a correct one, and some that are wrong on purpose."""

from __future__ import annotations

import numpy as np

from backends.reference.functions import loss_and_gradient
from backends.reference.layers import BatchNormLayer
from backends.reference.oracle import Reference
from backends.reference.updates import build_update
from bench.worker.verification.rounded import Rounded, cut, on_cpu

_BITS = 8


class Bfloat16(Rounded):
    """Mixed precision without any random error: each result is rounded once."""

    def __init__(self, job):
        super().__init__(job, np.random.RandomState(0))

    def _rounded(self, values):
        return cut(values, _BITS)


class IgnoresBfloat16(Reference):
    """From an adapter that does not read the job's precision."""

    def __init__(self, job):
        super().__init__(on_cpu(job))


class TrainsInFloat32(Bfloat16):
    """Only the prediction is within the context of mixed precision."""

    def _train_step(self, batch, masks):
        return Reference._train_step(self, batch, masks)

    def _forward(self, images, masks):
        if masks is None:
            return super()._forward(images, masks)
        return Reference._forward(self, images, masks)


class PredictsInFloat32(Bfloat16):
    """Only the training is within the context of mixed precision."""

    def _forward(self, images, masks):
        return Reference._forward(self, images, masks)


class RoundsToTf32(Bfloat16):
    """Another lower precision than the job's: it keeps eleven bits."""

    def _rounded(self, values):
        return cut(values, 11)


class CastsTheWeights(Bfloat16):
    """From `model.to(torch.bfloat16)`: there are no weights in float32."""

    def _train_step(self, batch, masks):
        loss = super()._train_step(batch, masks)
        for layer in self._layers:
            layer.weights = {name: cut(value, _BITS) for name, value in layer.weights.items()}
        return loss


class LossInBfloat16(Bfloat16):
    """The loss is computed from logits of bfloat16, in bfloat16."""

    def _loss(self, logits, labels):
        loss, gradient = super()._loss(logits, labels)
        return float(cut(np.array(loss), _BITS)), gradient


class LossOfEachExampleInBfloat16(Bfloat16):
    """Only the mean over the batch is computed in float32."""

    def _loss(self, logits, labels):
        _, gradient = super()._loss(logits, labels)
        of_each = [
            loss_and_gradient(self._job.workload.loss, logits[[row]], labels[[row]])[0]
            for row in range(len(labels))
        ]
        return float(cut(np.array(of_each), _BITS).mean()), gradient


class _ShortStatistics(BatchNormLayer):
    def forward(self, x, mask, *, training):
        before = dict(self.state)
        y = super().forward(x, mask, training=training)
        if training:
            axes, new = tuple(range(x.ndim - 1)), 1.0 - self.spec.momentum
            for name, value in (("mean", x.mean(axes)), ("variance", x.var(axes))):
                self.state[name] = (1.0 - new) * before[name] + new * cut(value, _BITS)
        return y


class StatisticsInBfloat16(Bfloat16):
    """Mean and variance of a batch are computed in bfloat16; their averages are in float32."""

    def __init__(self, job):
        super().__init__(job)
        for layer in self._layers:
            if isinstance(layer, BatchNormLayer):
                layer.__class__ = _ShortStatistics


class TwiceTheRate(Bfloat16):
    """An error that tolerances for bfloat16 must not hide."""

    def _begin(self):
        super()._begin()
        own = build_update(self._job.workload.optimizer)
        self._update = lambda name, w, g: w + 2.0 * (own(name, w, g) - w)


class ForgetsTheFirstGradient(Bfloat16):
    """The gradient of the first layer's weights is lost by a cast."""

    def _train_step(self, batch, masks):
        first = next(layer for layer in self._layers if layer.weights)
        before = dict(first.weights)
        loss = super()._train_step(batch, masks)
        first.weights = before
        return loss


# Mutant -> the checks that must catch it.
LOWER_MUTANTS = {
    IgnoresBfloat16: {"prediction", "steps", "epoch"},
    TrainsInFloat32: {"steps", "epoch"},
    PredictsInFloat32: {"prediction"},
    CastsTheWeights: {"steps", "epoch", "float32"},
    LossInBfloat16: {"float32"},
    LossOfEachExampleInBfloat16: {"float32"},
    StatisticsInBfloat16: {"float32"},
    TwiceTheRate: {"steps", "epoch"},
    ForgetsTheFirstGradient: {"steps", "epoch"},
}
# Those that the verification of a timed job catches by itself.
TIMED_LOWER_MUTANTS = (
    *(IgnoresBfloat16, TrainsInFloat32, PredictsInFloat32, CastsTheWeights),
    *(TwiceTheRate, ForgetsTheFirstGradient),
)
