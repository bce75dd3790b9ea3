"""The optimizers of `specs.model` as formulas for one weight array.

Plain JAX and plain TensorFlow use them, because these frameworks have no optimizers.
"""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

from msgspec import Struct

from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd

Slots = tuple[Any, ...]


class Updates(Struct, frozen=True, kw_only=True):
    """An optimizer's formulas, computed with a framework's arrays.

    Attributes:
        spec: the optimizer.
        sqrt, expm1: the framework's functions; everything else is an operator of its arrays.
    """

    spec: Optimizer
    sqrt: Callable[[Any], Any]
    expm1: Callable[[Any], Any]

    def initial_slots(self) -> tuple[float, ...]:
        """The start values of the arrays that the optimizer keeps for each weight.

        One value per array; each array has the weight's shape.
        """
        match self.spec:
            case Sgd(momentum=momentum):
                return (0.0,) if momentum else ()
            case RmsProp():
                return (0.0,)
            case Adagrad(initial_accumulator=value):
                return (value,)
            case Adam() | AdamW() | Adadelta():
                return (0.0, 0.0)

    def apply(self, step: Any, weight: Any, gradient: Any, slots: Slots) -> tuple[Any, Slots]:
        """A weight and its slots after a step, by the formulas of `specs.model`.

        Args:
            step: the number of the step, counted from 1, as a float scalar.
            weight: an array; `gradient` and each of `slots` have its shape.
            gradient: the gradient of the loss with respect to the weight.
            slots: the arrays kept for this weight, see `initial_slots`.
        """
        spec = self.spec
        match spec:
            case Sgd():
                return self._sgd(spec, weight, gradient, slots)
            case RmsProp():
                v = spec.rho * slots[0] + (1.0 - spec.rho) * gradient * gradient
                return weight - spec.learning_rate * gradient / self._root(spec, v), (v,)
            case Adagrad():
                v = slots[0] + gradient * gradient
                return weight - spec.learning_rate * gradient / self._root(spec, v), (v,)
            case Adam():
                return self._adam(spec, step, weight, gradient, slots)
            case AdamW():
                decayed = weight - spec.learning_rate * spec.weight_decay * weight
                return self._adam(spec, step, decayed, gradient, slots)
            case Adadelta():
                v = spec.rho * slots[0] + (1.0 - spec.rho) * gradient * gradient
                d = self.sqrt(slots[1] + spec.epsilon) / self.sqrt(v + spec.epsilon) * gradient
                u = spec.rho * slots[1] + (1.0 - spec.rho) * d * d
                return weight - spec.learning_rate * d, (v, u)

    @staticmethod
    def _sgd(spec: Sgd, weight: Any, gradient: Any, slots: Slots) -> tuple[Any, Slots]:
        if not slots:
            return weight - spec.learning_rate * gradient, ()
        v = spec.momentum * slots[0] - spec.learning_rate * gradient
        change = spec.momentum * v - spec.learning_rate * gradient if spec.nesterov else v
        return weight + change, (v,)

    def _root(self, spec: RmsProp | Adagrad, v: Any) -> Any:
        if spec.epsilon_form == "inside_root":
            return self.sqrt(v + spec.epsilon)
        return self.sqrt(v) + spec.epsilon

    def _adam(
        self, spec: Adam | AdamW, step: Any, weight: Any, gradient: Any, slots: Slots
    ) -> tuple[Any, Slots]:
        m = spec.beta_1 * slots[0] + (1.0 - spec.beta_1) * gradient
        v = spec.beta_2 * slots[1] + (1.0 - spec.beta_2) * gradient * gradient
        # 1 - beta^t is computed by expm1: in float32 the difference 1 - 0.999 has only five correct
        # digits.
        first, second = (
            -self.expm1(step * log(beta)) if beta else 1.0 for beta in (spec.beta_1, spec.beta_2)
        )
        if spec.epsilon_form == "after_correction":
            root = self.sqrt(v / second) + spec.epsilon
            return weight - spec.learning_rate * (m / first) / root, (m, v)
        rate = spec.learning_rate * second**0.5 / first
        return weight - rate * m / (self.sqrt(v) + spec.epsilon), (m, v)
