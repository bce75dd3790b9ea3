"""The reference's optimizers, as `specs.model` defines them, one class per optimizer."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

import numpy as np

from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd

Array = np.ndarray


class Update(Protocol):
    """An optimizer: computes a weight's new value from its name, its value w and its gradient g.

    It keeps its own state (such as averages of g) for each name.
    """

    def __call__(self, name: str, w: Array, g: Array) -> Array: ...


class SgdUpdate:
    """v = momentum v - learning_rate g; w = w + v.

    With Nesterov's momentum: w = w + momentum v - learning_rate g.
    """

    def __init__(self, spec: Sgd) -> None:
        self._spec, self._v = spec, defaultdict[str, Array | float](float)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        momentum, rate = self._spec.momentum, self._spec.learning_rate
        v = self._v[name] = momentum * self._v[name] - rate * g
        return w + momentum * v - rate * g if self._spec.nesterov else w + v


class RmsPropUpdate:
    """v = rho v + (1 - rho) g^2; w = w - learning_rate g / root, where root is `_root` of v."""

    def __init__(self, spec: RmsProp) -> None:
        self._spec, self._v = spec, defaultdict[str, Array | float](float)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        spec = self._spec
        v = self._v[name] = spec.rho * self._v[name] + (1.0 - spec.rho) * g**2
        return w - spec.learning_rate * g / _root(v, spec)


class AdagradUpdate:
    """v = v + g^2; w = w - learning_rate g / root, where root is `_root` of v."""

    def __init__(self, spec: Adagrad) -> None:
        self._spec = spec
        self._v = defaultdict[str, Array | float](lambda: spec.initial_accumulator)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        v = self._v[name] = self._v[name] + g**2
        return w - self._spec.learning_rate * g / _root(v, self._spec)


class AdamUpdate:
    """m and v average g and g^2; w = w - learning_rate step, by the formula of `epsilon_form`.

    With first = 1 - beta_1^t and second = 1 - beta_2^t: after_correction: step = (m / first) /
    (sqrt(v / second) + epsilon); before_correction: step = sqrt(second) / first m / (sqrt(v) +
    epsilon). AdamW also subtracts learning_rate weight_decay w from the old w.
    """

    def __init__(self, spec: Adam | AdamW) -> None:
        self._spec, self._t = spec, defaultdict[str, int](int)
        self._m = defaultdict[str, Array | float](float)
        self._v = defaultdict[str, Array | float](float)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        spec = self._spec
        self._t[name] += 1
        m = self._m[name] = spec.beta_1 * self._m[name] + (1.0 - spec.beta_1) * g
        v = self._v[name] = spec.beta_2 * self._v[name] + (1.0 - spec.beta_2) * g**2
        first, second = 1.0 - spec.beta_1 ** self._t[name], 1.0 - spec.beta_2 ** self._t[name]
        if spec.epsilon_form == "after_correction":
            step = m / first / (np.sqrt(v / second) + spec.epsilon)
        else:
            step = np.sqrt(second) / first * m / (np.sqrt(v) + spec.epsilon)
        decay = spec.weight_decay if isinstance(spec, AdamW) else 0.0
        return w - spec.learning_rate * decay * w - spec.learning_rate * step


class AdadeltaUpdate:
    """d = sqrt(u + epsilon) / sqrt(v + epsilon) g; w = w - learning_rate d.

    v averages g^2 by rho, before d is computed; u averages d^2 by rho, after that.
    """

    def __init__(self, spec: Adadelta) -> None:
        self._spec = spec
        self._v = defaultdict[str, Array | float](float)
        self._u = defaultdict[str, Array | float](float)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        rho, epsilon = self._spec.rho, self._spec.epsilon
        v = self._v[name] = rho * self._v[name] + (1.0 - rho) * g**2
        d = np.sqrt(self._u[name] + epsilon) / np.sqrt(v + epsilon) * g
        self._u[name] = rho * self._u[name] + (1.0 - rho) * d**2
        return w - self._spec.learning_rate * d


def build_update(spec: Optimizer) -> Update:
    """The optimizer that the workload names, in its initial state."""
    match spec:
        case Sgd():
            return SgdUpdate(spec)
        case RmsProp():
            return RmsPropUpdate(spec)
        case Adagrad():
            return AdagradUpdate(spec)
        case Adam() | AdamW():
            return AdamUpdate(spec)
        case Adadelta():
            return AdadeltaUpdate(spec)


def _root(v: Array | float, spec: RmsProp | Adagrad) -> Array:
    if spec.epsilon_form == "inside_root":
        return np.sqrt(v + spec.epsilon)
    return np.sqrt(v) + spec.epsilon
