"""Backends that are wrong on purpose.

Each changes the reference in one way that was found in a published benchmark or a port.
"""

from __future__ import annotations

import threading
import time

import numpy as np
from msgspec.structs import replace

from backends.reference.functions import loss_and_gradient
from backends.reference.oracle import Reference
from backends.reference.updates import build_update
from specs.initial import initial_weights


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
                order[start : start + size],
                masks and [mask[start : start + size] for mask in masks],
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
            name: value.swapaxes(0, 1)
            if value.ndim > 1 and value.shape[0] == value.shape[1]
            else value[::-1]
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
        return [
            np.full((examples, *layer.shape), 1 - layer.rate)
            for layer in self._layers
            if layer.drops
        ]


class DropsWithoutASeed(Reference):
    def __init__(self, job):
        super().__init__(job)
        self._random = np.random.RandomState()


class _OtherOptimizer(Reference):
    changes: dict[str, object] = {}

    def __init__(self, job):
        super().__init__(job)
        known = {
            name: value
            for name, value in self.changes.items()
            if hasattr(job.workload.optimizer, name)
        }
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


class OwnInitialWeights(Reference):
    """From AlgoPerf's MNIST in PyTorch: the first layer's weights differ from those in JAX."""

    def set_weights(self, weights):
        first = next(iter(weights))
        super().set_weights({**weights, first: initial_weights(self._job.workload, 99)[first]})


class MisnamesAWeight(Reference):
    """From AlgoPerf's MNIST: a typing error in the name of the output layer."""

    def get_weights(self):
        return {
            name.replace(".bias", ".bais"): value for name, value in super().get_weights().items()
        }


class SwapsHeightAndWidth(Reference):
    """From the notebook of a comparison: images are transposed."""

    def load(self, images, labels):
        super().load(images.swapaxes(1, 2), labels)


class StandardisesTheImages(Reference):
    def predict(self, images):
        return super().predict((images - 0.1307) / 0.3081)


class TouchesOtherImages(Reference):
    def _train_step(self, batch, masks):
        loss = super()._train_step(batch, masks)
        return loss + 0.0 * float(self._images.mean())


class DropsDuplicates(Reference):
    def train_epoch(self, order, masks=None):
        kept = np.sort(np.unique(order, return_index=True)[1])
        return super().train_epoch(order[kept], masks and [mask[kept] for mask in masks])


class ScalesByTheNominalBatch(Reference):
    """From Gluon's `Trainer.step(batch_size)`: a partial batch counts for less."""

    def _loss(self, logits, labels):
        loss, gradient = super()._loss(logits, labels)
        return loss, gradient * len(labels) / self._job.batch_size


class SoftmaxTwice(Reference):
    def _forward(self, images, masks):
        logits = super()._forward(images, masks)
        if masks is None:
            return logits
        exponents = np.exp(logits - logits.max(axis=1, keepdims=True))
        return exponents / exponents.sum(axis=1, keepdims=True)


class ClipsProbabilities(Reference):
    """From Keras's cross-entropy of probabilities on JAX and PyTorch.

    The loss is at most -ln 1e-7; beyond that the gradient is zero.
    """

    def _loss(self, logits, labels):
        each = [
            loss_and_gradient("softmax_cross_entropy", logits[n : n + 1], labels[n : n + 1])
            for n in range(len(labels))
        ]
        losses = np.array([min(loss, -np.log(1e-7)) for loss, _ in each])
        gradients = [gradient * (loss < -np.log(1e-7)) for loss, gradient in each]
        return float(losses.mean()), np.concatenate(gradients) / len(labels)


class AnotherUpdate(Reference):
    """A mutant that updates each weight by a function of its own."""

    def __init__(self, job):
        super().__init__(job)
        self._kept = {}
        self._update = self.update

    def slots(self, name, value, count, start=0.0):
        return self._kept.setdefault(name, [np.full_like(value, start) for _ in range(count)])


class StartsItsAverageAtOne(AnotherUpdate):
    """From TensorFlow 1's RMSprop, and timm's replica of it."""

    def update(self, name, w, g):
        spec, [v] = self._job.workload.optimizer, self.slots(name, w, 1, start=1.0)
        v *= spec.rho
        v += (1 - spec.rho) * g**2
        return w - spec.learning_rate * g / np.sqrt(v + spec.epsilon)


class NesterovByTheNewVelocity(AnotherUpdate):
    """From Chainer's NesterovAG: v is updated, and then used like its old value."""

    def update(self, name, w, g):
        spec, [v] = self._job.workload.optimizer, self.slots(name, w, 1)
        v *= spec.momentum
        v -= spec.learning_rate * g
        return w + spec.momentum**2 * v - (1 + spec.momentum) * spec.learning_rate * g


class AdamWithOneBeta(AnotherUpdate):
    """From Deep500's reference Adam: both averages use the first beta."""

    def update(self, name, w, g):
        spec, (m, v, t) = self._job.workload.optimizer, self.slots(name, w, 3)
        t += 1
        m += (1 - spec.beta_1) * (g - m)
        v += (1 - spec.beta_1) * (g**2 - v)
        first, second = 1 - spec.beta_1**t, 1 - spec.beta_1**t
        return w - spec.learning_rate * m / first / (np.sqrt(v / second) + spec.epsilon)


class AdamWithEpsilonInside(AnotherUpdate):
    """From Deep500's reference Adam: epsilon is added inside the root."""

    def update(self, name, w, g):
        spec, (m, v, t) = self._job.workload.optimizer, self.slots(name, w, 3)
        t += 1
        m += (1 - spec.beta_1) * (g - m)
        v += (1 - spec.beta_2) * (g**2 - v)
        return w - spec.learning_rate * m / (1 - spec.beta_1**t) / np.sqrt(
            v / (1 - spec.beta_2**t) + spec.epsilon
        )


class AdagradOfTheNorm(AnotherUpdate):
    """From Deep500's Adagrad: it keeps one number per weight array."""

    def update(self, name, w, g):
        spec, [v] = (
            self._job.workload.optimizer,
            self.slots(name, w, 1, start=self._job.workload.optimizer.initial_accumulator),
        )
        v += (g**2).sum()
        return w - spec.learning_rate * g / np.sqrt(v + spec.epsilon)


class AddsTheDecayToTheGradient(Reference):
    """It has L2 regularization in place of AdamW's decoupled decay."""

    def __init__(self, job):
        super().__init__(job)
        decay = job.workload.optimizer.weight_decay
        plain = build_update(replace(job.workload.optimizer, weight_decay=0.0))
        self._update = lambda name, w, g: plain(name, w, g + decay * w)


class SlowsDownLate(Reference):
    """A learning-rate schedule that starts later than short checks look."""

    def __init__(self, job):
        super().__init__(job)
        own, self._steps = self._update, 0
        self._update = lambda name, w, g: (
            w + (own(name, w, g) - w) * (1.0 if self._steps < 100 else 0.5)
        )

    def _train_step(self, batch, masks):
        self._steps += 1
        return super()._train_step(batch, masks)


class TrainsInHalfPrecision(Reference):
    def _train_step(self, batch, masks):
        loss = super()._train_step(batch, masks)
        for layer in self._layers:
            layer.weights = {
                name: value.astype(np.float16).astype(float)
                for name, value in layer.weights.items()
            }
        return loss


class MultipliesInTf32(Reference):
    """From NVIDIA's TensorFloat-32: ten bits of a factor's fraction are kept."""

    bits = 11

    def _forward(self, images, masks):
        exact = [dict(layer.weights) for layer in self._layers]
        for layer in self._layers:
            layer.weights = {name: self._cut(value) for name, value in layer.weights.items()}
        logits = super()._forward(self._cut(images), masks)
        for layer, weights in zip(self._layers, exact, strict=True):
            layer.weights = weights
        return logits

    def _cut(self, values):
        fraction, exponent = np.frexp(values)
        return np.ldexp(np.round(fraction * 2.0**self.bits) / 2.0**self.bits, exponent)


class _OtherLayers(Reference):
    """A mutant that changes each of its layers."""

    def __init__(self, job):
        super().__init__(job)
        for layer in self._layers:
            self.change(layer)


class OtherEpsilonOfBatchNorm(_OtherLayers):
    def change(self, layer):
        if layer.state:
            layer.spec = replace(layer.spec, epsilon=1e-5)


class SwapsBatchNormsMomentum(_OtherLayers):
    """In PyTorch, momentum is the weight of the new value."""

    def change(self, layer):
        if layer.state:
            layer.spec = replace(layer.spec, momentum=1 - layer.spec.momentum)


class ForgetsTheLeak(_OtherLayers):
    def change(self, layer):
        if getattr(layer, "activation", "") == "leaky_relu":
            layer.activation = "relu"


class FlattensChannelsFirst(_OtherLayers):
    def change(self, layer):
        if type(layer).__name__ == "FlattenLayer":
            own = layer.forward
            layer.forward = lambda x, mask, training: own(
                x.transpose(0, 3, 1, 2), mask, training=training
            )
            back = layer.backward
            layer.backward = lambda gradient: back(gradient).transpose(0, 2, 3, 1)


class SlopeAtZero(_OtherLayers):
    """From a plain maximum(x, 0) in the Theano family: relu'(0) is 1."""

    def change(self, layer):
        if getattr(layer, "activation", "") == "relu":
            layer.activation = "linear"
            own, back = layer.forward, layer.backward

            def forward(x, mask, training):
                layer.z = own(x, mask, training=training)
                return np.maximum(layer.z, 0)

            layer.forward, layer.backward = (
                forward,
                lambda gradient: back(gradient * (layer.z >= 0)),
            )


class SharesTiesAmongAll(_OtherLayers):
    """From Theano's max-pool: every tied maximum gets the whole gradient."""

    def change(self, layer):
        if type(layer).__name__ == "MaxPoolLayer":
            forward = layer.forward

            def keep(x, mask, training):
                layer.ties = layer.windows(x)
                return forward(x, mask, training=training)

            def backward(gradient):
                return layer.images(
                    (layer.ties == layer.ties.max(-1, keepdims=True)) * gradient[..., None]
                )

            layer.forward, layer.backward = keep, backward


class SharesItsWeights(Reference):
    """It returns views of its weights, which change with further training."""

    def get_weights(self):
        self._shared = getattr(self, "_shared", {})
        for name, value in super().get_weights().items():
            np.copyto(self._shared.setdefault(name, value), value)
        return self._shared

    def train_epoch(self, order, masks=None):
        loss = super().train_epoch(order, masks)
        self.get_weights()
        return loss


class SeedsMoreThanDropout(Reference):
    def __init__(self, job):
        super().__init__(job)
        self._noise = np.random.RandomState(job.seed).normal() * 1e-8

    def train_epoch(self, order, masks=None):
        return super().train_epoch(order, masks) + self._noise


class DependsOnTheCall(Reference):
    """It trains the batches of a call from the last to the first; each one alone is right."""

    def train_epoch(self, order, masks=None):
        size = self._job.batch_size
        starts = list(range(0, len(order), size))[::-1]
        losses = [
            super(DependsOnTheCall, self).train_epoch(
                order[start : start + size],
                masks and [mask[start : start + size] for mask in masks],
            )
            for start in starts
        ]
        return float(
            np.average(losses, weights=[len(order[start : start + size]) for start in starts])
        )


class ReturnsBeforeItIsDone(Reference):
    """The work continues in a thread, as in a device's queue, and `sync` does not wait for it."""

    _work = None

    def train_epoch(self, order, masks=None):
        loss = super().train_epoch(order, masks)
        self._work = threading.Thread(target=time.sleep, args=(0.05,))
        self._work.start()
        return loss

    def get_weights(self):
        if self._work is not None:
            self._work.join()
        return super().get_weights()


class _OtherDropout(Reference):
    """A mutant with its own way of drawing dropout; with given masks it is right."""

    def _draw(self, examples):
        return [
            self.draw((examples, *layer.shape), 1 - layer.rate)
            for layer in self._layers
            if layer.drops
        ]


class DropsWhatItShouldKeep(_OtherDropout):
    def draw(self, shape, share):
        return self._random.random_sample(shape) < 1 - share


class KeepsALittleMore(_OtherDropout):
    def draw(self, shape, share):
        return self._random.random_sample(shape) < share + 0.03


class ForgetsToScale(_OtherDropout):
    def draw(self, shape, share):
        return (self._random.random_sample(shape) < share) * share


class RepeatsItsMaskEveryStep(_OtherDropout):
    def draw(self, shape, share):
        return np.random.RandomState(self._job.seed).random_sample(shape) < share


class RepeatsItsMasksEveryEpoch(_OtherDropout):
    def train_epoch(self, order, masks=None):
        self._random = np.random.RandomState(self._job.seed)
        return super().train_epoch(order, masks)

    def draw(self, shape, share):
        return self._random.random_sample(shape) < share


class DropsWholeRows(_OtherDropout):
    def draw(self, shape, share):
        return np.broadcast_to(
            self._random.random_sample((*shape[:2], *(1,) * len(shape[2:]))) < share, shape
        )


class OneMaskForAllExamples(_OtherDropout):
    def draw(self, shape, share):
        return np.broadcast_to(self._random.random_sample((1, *shape[1:])) < share, shape)


class VectorDropoutOfItsOwnRate(_OtherDropout):
    def draw(self, shape, share):
        return self._random.random_sample(shape) < (0.1 if len(shape) == 2 else share)


class OneRateForAllDropouts(_OtherDropout):
    def draw(self, shape, share):
        return (self._random.random_sample(shape) < 0.75) * share / 0.75


class SecondDropoutIsOff(_OtherDropout):
    def _draw(self, examples):
        first, *others = super()._draw(examples)
        return [
            first,
            *(
                np.full(mask.shape, 1 - layer.rate)
                for mask, layer in zip(others, self.drops()[1:], strict=True)
            ),
        ]

    def drops(self):
        return [layer for layer in self._layers if layer.drops]

    def draw(self, shape, share):
        return self._random.random_sample(shape) < share


class OneRandomKeyForAllDropouts(_OtherDropout):
    def _draw(self, examples):
        self._seed = self._random.randint(2**31)
        return super()._draw(examples)

    def draw(self, shape, share):
        return np.random.RandomState(self._seed).random_sample(shape) < share


class PredictionForgetsOptimizerState(Reference):
    def predict(self, images):
        self._update = build_update(self._job.workload.optimizer)
        return super().predict(images)


class EvaluationModeSticks(Reference):
    """It calls `model.eval()` to predict, and never `train()` after it.

    Batch norm then trains on its averages.
    """

    _evaluated = False

    def predict(self, images):
        self._evaluated = True
        return super().predict(images)

    def _forward(self, images, masks):
        if masks is None or not self._evaluated:
            return super()._forward(images, masks)
        states = [dict(layer.state) for layer in self._layers]
        super()._forward(images, masks)  # what its derivatives need
        for layer, state in zip(self._layers, states, strict=True):
            layer.state = state
        return super()._forward(images, None)


class PredictsWithItsFirstWeights(Reference):
    """From jaxlib 0.8.1 on CPUs: a product keeps the weights that it read first."""

    _first = None

    def set_weights(self, weights):
        super().set_weights(weights)
        self._first = None

    def predict(self, images):
        self._first = self._first or self.get_weights()
        trained = self.get_weights()
        super().set_weights(self._first)
        logits = super().predict(images)
        super().set_weights(trained)
        return logits


class KerasDefaults(_OtherOptimizer):
    """A constant of the spec was not given to the framework."""

    changes = {"learning_rate": 1e-3, "rho": 0.9, "beta_1": 0.9, "beta_2": 0.999}


class SaysAnotherDevice(Reference):
    """A build for GPUs silently runs on the CPU."""

    def settings(self):
        return {**super().settings(), "device": "/device:GPU:0"}


# Mutant -> a workload on which it must be caught; of the verification.
MUTANTS = {
    SumsTheLoss: "softmax",
    SkipsTheLastBatch: "softmax",
    AveragesBatchMeans: "softmax",
    IgnoresTheOrder: "softmax",
    TransposesAKernel: "dropout after flatten",
    EditsItsInput: "softmax",
    ReturnsSoftmax: "softmax",
    ReturnsFloat64: "softmax",
    DropsWhilePredicting: "dropout after flatten",
    NeverTrains: "softmax",
    TrainsWhilePredicting: "softmax",
    ForgetsOptimizerState: "tanh mlp",
    IgnoresTheMasks: "dropout after flatten",
    DropsNothingByItself: "dropout after flatten",
    DropsWithoutASeed: "dropout after flatten",
    OtherFormOfAdam: "strides, same, adam after",
    ForgetsNesterov: "batch norm, nesterov",
    AveragesTheUnbiasedVariance: "batch norm, nesterov",
    NormalisesByTheBatchWhilePredicting: "batch norm, nesterov",
    PadsAtTheStart: "strides, same, adam after",
    WrongEpsilon: "tanh mlp",
    WrongEpsilonForm: "tanh mlp",
    WrongLearningRate: "tanh mlp",
    WrongDecay: "tanh mlp",
    OwnInitialWeights: "softmax",
    MisnamesAWeight: "softmax",
    SwapsHeightAndWidth: "softmax",
    StandardisesTheImages: "softmax",
    TouchesOtherImages: "softmax",
    DropsDuplicates: "softmax",
    ScalesByTheNominalBatch: "softmax",
    SoftmaxTwice: "softmax",
    ClipsProbabilities: "softmax",
    StartsItsAverageAtOne: "tanh mlp",
    NesterovByTheNewVelocity: "batch norm, nesterov",
    AdamWithOneBeta: "strides, same, adam after",
    AdamWithEpsilonInside: "strides, same, adam after",
    AdagradOfTheNorm: "quadratic, adagrad inside",
    AddsTheDecayToTheGradient: "adamw after",
    SlowsDownLate: "softmax",
    TrainsInHalfPrecision: "tanh mlp",
    MultipliesInTf32: "sizes for tensor cores",
    OtherEpsilonOfBatchNorm: "batch norm, nesterov",
    SwapsBatchNormsMomentum: "batch norm, nesterov",
    ForgetsTheLeak: "strides, same, adam after",
    FlattensChannelsFirst: "dropout after flatten",
    SlopeAtZero: "digits, relu",
    SharesTiesAmongAll: "digits, tanh",
    SharesItsWeights: "softmax",
    SeedsMoreThanDropout: "softmax",
    DependsOnTheCall: "softmax",
    ReturnsBeforeItIsDone: "tanh mlp",
    DropsWhatItShouldKeep: "dropout after flatten",
    KeepsALittleMore: "dropout after flatten",
    ForgetsToScale: "dropout after flatten",
    RepeatsItsMaskEveryStep: "dropout after flatten",
    RepeatsItsMasksEveryEpoch: "dropout after flatten",
    DropsWholeRows: "dropout after flatten",
    OneMaskForAllExamples: "dropout after flatten",
    VectorDropoutOfItsOwnRate: "dropout after flatten",
    OneRateForAllDropouts: "dropout after flatten",
    SecondDropoutIsOff: "dropout after flatten",
    OneRandomKeyForAllDropouts: "dropout after flatten",
    PredictionForgetsOptimizerState: "dropout after flatten",
    EvaluationModeSticks: "batch norm, nesterov",
    PredictsWithItsFirstWeights: "softmax",
    KerasDefaults: "strides, same, adam after",
    SaysAnotherDevice: "softmax",
}
