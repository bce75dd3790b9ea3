"""The specs' optimizers as formulas over one weight, for plain JAX and plain TensorFlow, which bring none."""

from __future__ import annotations

from collections.abc import Callable
from math import log
from typing import Any

from msgspec import Struct

from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd

Slots = tuple[Any, ...]


class Updates(Struct, frozen=True, kw_only=True):
    """An optimizer's formulas in a framework's arrays, whose operators they use besides these two functions."""

    spec: Optimizer
    sqrt: Callable[[Any], Any]
    expm1: Callable[[Any], Any]

    def initial_slots(self) -> tuple[float, ...]:
        """What is kept beside each weight: the value that each array of the weight's shape begins with."""
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
            step: which step this is, from 1, as a float scalar.
            weight: an array; `gradient` and each of `slots` have its shape.
            gradient: of the loss.
            slots: what the last step left, see `initial_slots`.
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
                return weight - spec.learning_rate * d, (
                    v,
                    spec.rho * slots[1] + (1.0 - spec.rho) * d * d,
                )

    @staticmethod
    def _sgd(spec: Sgd, weight: Any, gradient: Any, slots: Slots) -> tuple[Any, Slots]:
        if not slots:
            return weight - spec.learning_rate * gradient, ()
        v = spec.momentum * slots[0] - spec.learning_rate * gradient
        return weight + (
            spec.momentum * v - spec.learning_rate * gradient if spec.nesterov else v
        ), (v,)

    def _root(self, spec: RmsProp | Adagrad, v: Any) -> Any:
        return (
            self.sqrt(v + spec.epsilon)
            if spec.epsilon_form == "inside_root"
            else self.sqrt(v) + spec.epsilon
        )

    def _adam(
        self, spec: Adam | AdamW, step: Any, weight: Any, gradient: Any, slots: Slots
    ) -> tuple[Any, Slots]:
        m = spec.beta_1 * slots[0] + (1.0 - spec.beta_1) * gradient
        v = spec.beta_2 * slots[1] + (1.0 - spec.beta_2) * gradient * gradient
        # 1 - beta^t; taken apart in float32, 1 - 0.999 would have lost five of its digits.
        first, second = (
            -self.expm1(step * log(b)) if b else 1.0 for b in (spec.beta_1, spec.beta_2)
        )
        if spec.epsilon_form == "after_correction":
            return weight - spec.learning_rate * (m / first) / (
                self.sqrt(v / second) + spec.epsilon
            ), (m, v)
        rate = spec.learning_rate * second**0.5 / first
        return weight - rate * m / (self.sqrt(v) + spec.epsilon), (m, v)
