"""The optimizers of `specs.model` in MXNet.

Where MXNet has the same formula, its own optimizer is used. The others are implemented here.
"""

from __future__ import annotations

import math
from typing import Any

from backends.formulas import Updates
from backends.mxnet.library import mx, optimizer
from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd


class SpecifiedAdam(optimizer.Adam):
    """MXNet's Adam with two options that it lacks.

    With `epsilon_form` "after_correction", epsilon is added after the correction of v. That is the
    same as adding epsilon * sqrt(1 - beta_2^t) before it, which MXNet's operator does. With AdamW
    the step starts with `w = w - lr decay w`.
    """

    def __init__(self, spec: Adam | AdamW) -> None:
        super().__init__(spec.learning_rate, spec.beta_1, spec.beta_2, spec.epsilon)
        self._spec = spec
        self._decay = spec.weight_decay if isinstance(spec, AdamW) else 0.0

    def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        if self._decay:
            # Not `weight *= 1 - lr decay`: that factor has the same rounding error in each step.
            weight -= self._spec.learning_rate * self._decay * weight
        if self._spec.epsilon_form == "after_correction":
            step = self._index_update_count.get(index, self.begin_num_update) + 1
            self.epsilon = self._spec.epsilon * math.sqrt(1.0 - self._spec.beta_2**step)
        super().update(index, weight, grad, state)


class FormulaOptimizer(optimizer.Optimizer):
    """RMSprop and Adagrad with epsilon outside the root, Adagrad with a first accumulator.

    Also Adadelta with a learning rate, as MXNet's has none.
    """

    def __init__(self, spec: Optimizer) -> None:
        super().__init__(learning_rate=spec.learning_rate)
        self._updates = Updates(spec=spec, sqrt=mx.nd.sqrt, expm1=math.expm1)

    def create_state(self, index: int, weight: Any) -> tuple[Any, ...]:
        del index
        return tuple(
            mx.nd.full(weight.shape, start, dtype=weight.dtype)
            for start in self._updates.initial_slots()
        )

    def update(self, index: int, weight: Any, grad: Any, state: Any) -> None:
        self._update_count(index)
        step = float(self._index_update_count[index])
        gradient = grad * self.rescale_grad
        weight[:], values = self._updates.apply(step, weight, gradient, state)
        for slot, value in zip(state, values, strict=True):
            slot[:] = value


def build_optimizer(spec: Optimizer) -> optimizer.Optimizer:
    """The optimizer that the workload names; every constant is passed explicitly."""
    match spec:
        case Sgd(nesterov=True):
            return optimizer.NAG(learning_rate=spec.learning_rate, momentum=spec.momentum)
        case Sgd():
            return optimizer.SGD(learning_rate=spec.learning_rate, momentum=spec.momentum)
        case RmsProp(epsilon_form="inside_root"):
            return optimizer.RMSProp(spec.learning_rate, gamma1=spec.rho, epsilon=spec.epsilon)
        case Adagrad(epsilon_form="inside_root", initial_accumulator=0.0):
            return optimizer.AdaGrad(learning_rate=spec.learning_rate, eps=spec.epsilon)
        case Adam(epsilon_form="before_correction"):
            return optimizer.Adam(spec.learning_rate, spec.beta_1, spec.beta_2, spec.epsilon)
        case Adam() | AdamW():
            return SpecifiedAdam(spec)
        case Adadelta(learning_rate=1.0):
            return optimizer.AdaDelta(rho=spec.rho, epsilon=spec.epsilon)
        case _:
            return FormulaOptimizer(spec)
