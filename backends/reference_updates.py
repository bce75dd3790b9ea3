"""The reference's optimizers, as `specs.model` defines them: one class each, state per weight."""

from __future__ import annotations

from collections import defaultdict
from typing import Protocol

import numpy as np

from specs.model import Adadelta, Optimizer, RmsProp, Sgd

Array = np.ndarray


class Update(Protocol):
    """One step of one weight: its name, its value and its gradient in, its new value out."""

    def __call__(self, name: str, w: Array, g: Array) -> Array: ...


class SgdUpdate:
    """v = momentum v - learning_rate g; w = w + v."""

    def __init__(self, spec: Sgd) -> None:
        self._spec, self._v = spec, defaultdict[str, Array | float](float)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        self._v[name] = self._spec.momentum * self._v[name] - self._spec.learning_rate * g
        return w + self._v[name]


class RmsPropUpdate:
    """v = rho v + (1 - rho) g^2; w = w - learning_rate g / root, root by the form of epsilon."""

    def __init__(self, spec: RmsProp) -> None:
        self._spec, self._v = spec, defaultdict[str, Array | float](float)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        spec = self._spec
        v = self._v[name] = spec.rho * self._v[name] + (1.0 - spec.rho) * g**2
        root = np.sqrt(v + spec.epsilon) if spec.epsilon_form == "inside_root" else np.sqrt(v) + spec.epsilon
        return w - spec.learning_rate * g / root


class AdadeltaUpdate:
    """v averages g^2, d = sqrt(u + epsilon) / sqrt(v + epsilon) g, u averages d^2; w = w - learning_rate d."""

    def __init__(self, spec: Adadelta) -> None:
        self._spec = spec
        self._v, self._u = defaultdict[str, Array | float](float), defaultdict[str, Array | float](float)

    def __call__(self, name: str, w: Array, g: Array) -> Array:
        rho, epsilon = self._spec.rho, self._spec.epsilon
        v = self._v[name] = rho * self._v[name] + (1.0 - rho) * g**2
        d = np.sqrt(self._u[name] + epsilon) / np.sqrt(v + epsilon) * g
        self._u[name] = rho * self._u[name] + (1.0 - rho) * d**2
        return w - self._spec.learning_rate * d


def build_update(spec: Optimizer) -> Update:
    """The update that the spec names, its state at 0."""
    match spec:
        case Sgd():
            return SgdUpdate(spec)
        case RmsProp():
            return RmsPropUpdate(spec)
        case Adadelta():
            return AdadeltaUpdate(spec)
