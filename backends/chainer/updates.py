"""The optimizers of `specs.model` in Chainer.

Where Chainer has the same formula, its own optimizer is used. The others are implemented here, each
as a rule beside Chainer's own, which keeps the same arrays.
"""

from __future__ import annotations

import chainer
import numpy as np
from chainer import optimizers
from chainer.optimizers.ada_delta import AdaDeltaRule
from chainer.optimizers.ada_grad import AdaGradRule
from chainer.optimizers.adam import AdamRule
from chainer.optimizers.momentum_sgd import MomentumSGDRule

from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd


class NesterovRule(MomentumSGDRule):
    """`v = momentum v - lr g; w = w + momentum v - lr g`.

    `chainer.optimizers.NesterovAG` adds `momentum^2 v - (1 + momentum) lr g`. That would be the
    same with the v before the step, but it takes the v after it.
    """

    def update_core_cpu(self, param: chainer.Parameter) -> None:
        v, momentum = self.state["v"], self.hyperparam.momentum
        step = self.hyperparam.lr * param.grad
        v *= momentum
        v -= step
        param.array += momentum * v
        param.array -= step


class Nesterov(optimizers.MomentumSGD):
    """SGD with the momentum of `NesterovRule`."""

    def create_update_rule(self) -> NesterovRule:
        return NesterovRule(self.hyperparam)


class AdagradFormRule(AdaGradRule):
    """`h = h + g^2; w = w - lr g / root`, with h from `initial_accumulator`.

    `root` is `sqrt(h + epsilon)` or `sqrt(h) + epsilon`. In `chainer.optimizers.AdaGrad` h starts
    at 0, and epsilon is outside the root.
    """

    def init_state(self, param: chainer.Parameter) -> None:
        self.state["h"] = np.full_like(param.array, self.hyperparam.initial_accumulator)

    def update_core_cpu(self, param: chainer.Parameter) -> None:
        if not self.hyperparam.eps_inside_sqrt:
            super().update_core_cpu(param)
            return
        h, grad = self.state["h"], param.grad
        h += grad * grad
        param.array -= self.hyperparam.lr * grad / np.sqrt(h + self.hyperparam.eps)


class AdagradForm(optimizers.AdaGrad):
    """Adagrad by `AdagradFormRule`."""

    def __init__(self, spec: Adagrad) -> None:
        super().__init__(lr=spec.learning_rate, eps=spec.epsilon)
        self.hyperparam.initial_accumulator = spec.initial_accumulator
        self.hyperparam.eps_inside_sqrt = spec.epsilon_form == "inside_root"

    def create_update_rule(self) -> AdagradFormRule:
        return AdagradFormRule(self.hyperparam)


class AdadeltaRateRule(AdaDeltaRule):
    """`w = w - lr d`, where d is the step of `chainer.optimizers.AdaDelta`, whose rate is 1."""

    def update_core_cpu(self, param: chainer.Parameter) -> None:
        rho, eps, grad = self.hyperparam.rho, self.hyperparam.eps, param.grad
        msg, msdx = self.state["msg"], self.state["msdx"]
        msg *= rho
        msg += (1.0 - rho) * grad * grad
        step = np.sqrt((msdx + eps) / (msg + eps)) * grad
        msdx *= rho
        msdx += (1.0 - rho) * step * step
        param.array -= self.hyperparam.lr * step


class AdadeltaRate(optimizers.AdaDelta):
    """Adadelta with a learning rate, by `AdadeltaRateRule`."""

    def __init__(self, spec: Adadelta) -> None:
        super().__init__(rho=spec.rho, eps=spec.epsilon)
        self.hyperparam.lr = spec.learning_rate

    def create_update_rule(self) -> AdadeltaRateRule:
        return AdadeltaRateRule(self.hyperparam)


class AdamAfterRule(AdamRule):
    """`w = w - lr m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon)`.

    `chainer.optimizers.Adam` adds epsilon before it corrects v.
    """

    def update_core_cpu(self, param: chainer.Parameter) -> None:
        hyper, grad = self.hyperparam, param.grad
        m, v = self.state["m"], self.state["v"]
        m += (1.0 - hyper.beta1) * (grad - m)
        v += (1.0 - hyper.beta2) * (grad * grad - v)
        first, second = 1.0 - hyper.beta1**self.t, 1.0 - hyper.beta2**self.t
        step = (hyper.alpha / first) * m / (np.sqrt(v / second) + hyper.eps)
        if hyper.weight_decay_rate:
            param.array *= 1.0 - hyper.weight_decay_rate
        param.array -= step


class AdamAfter(optimizers.Adam):
    """Adam by `AdamAfterRule`."""

    def create_update_rule(self) -> AdamAfterRule:
        return AdamAfterRule(self.hyperparam)


def build_optimizer(spec: Optimizer) -> chainer.optimizer.GradientMethod:
    """The optimizer that the workload names; every constant is passed explicitly."""
    match spec:
        case Sgd():
            return _sgd(spec)
        case RmsProp():
            return optimizers.RMSprop(
                lr=spec.learning_rate,
                alpha=spec.rho,
                eps=spec.epsilon,
                eps_inside_sqrt=spec.epsilon_form == "inside_root",
            )
        case Adagrad(initial_accumulator=0.0, epsilon_form="outside_root"):
            return optimizers.AdaGrad(lr=spec.learning_rate, eps=spec.epsilon)
        case Adagrad():
            return AdagradForm(spec)
        case Adam() | AdamW():
            return _adam(spec)
        case Adadelta(learning_rate=1.0):
            return optimizers.AdaDelta(rho=spec.rho, eps=spec.epsilon)
        case Adadelta():
            return AdadeltaRate(spec)


def _sgd(spec: Sgd) -> chainer.optimizer.GradientMethod:
    if not spec.momentum:
        return optimizers.SGD(lr=spec.learning_rate)
    kind = Nesterov if spec.nesterov else optimizers.MomentumSGD
    return kind(lr=spec.learning_rate, momentum=spec.momentum)


def _adam(spec: Adam | AdamW) -> chainer.optimizer.GradientMethod:
    kind = optimizers.Adam if spec.epsilon_form == "before_correction" else AdamAfter
    decay = spec.weight_decay if isinstance(spec, AdamW) else 0.0
    return kind(
        alpha=spec.learning_rate,
        beta1=spec.beta_1,
        beta2=spec.beta_2,
        eps=spec.epsilon,
        eta=1.0,
        # Chainer does not multiply its decay by the learning rate.
        weight_decay_rate=spec.learning_rate * decay,
    )
