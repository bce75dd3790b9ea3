"""The optimizers: which of Caffe's solvers has the workload's formula, and the others in NumPy.

Runs in the old Python, see `backends.far`.
"""

from __future__ import annotations

from math import expm1, log, sqrt
from typing import Any

import numpy as np


def nearest_solver(spec: dict[str, Any]) -> tuple[str, dict[str, float]]:
    """The type and the settings of Caffe's solver of this name; AdamW has none.

    Args:
        spec: the optimizer, see `specs.model`.
    """
    kind = spec["type"]
    settings = {"base_lr": spec["learning_rate"]}
    if kind == "sgd":
        settings["momentum"] = spec["momentum"]
        return ("Nesterov" if spec["nesterov"] else "SGD"), settings
    if kind == "rmsprop":
        settings["rms_decay"] = spec["rho"]
    elif kind == "adam":
        settings.update(momentum=spec["beta_1"], momentum2=spec["beta_2"])
    elif kind == "adadelta":
        settings["momentum"] = spec["rho"]
    settings["delta"] = spec["epsilon"]
    names = {"rmsprop": "RMSProp", "adagrad": "AdaGrad", "adam": "Adam", "adadelta": "AdaDelta"}
    return names[kind], settings


def has_solver(spec: dict[str, Any]) -> bool:
    """Whether one of Caffe's solvers has exactly the workload's formula.

    None has epsilon inside the root (RMSprop, Adagrad) or after the correction (Adam), an
    accumulator that does not start at 0 (Adagrad), or AdamW's decay.
    """
    if spec["type"] == "adamw" or spec.get("initial_accumulator"):
        return False
    return spec.get("epsilon_form") not in ("inside_root", "after_correction")


class Updates:
    """The formulas of `specs.model` that Caffe's solvers do not have, on NumPy's arrays.

    All operations write into existing arrays, as new arrays of the size of a kernel cost time.
    """

    def __init__(self, spec: dict[str, Any], weights: list[np.ndarray]) -> None:
        """Make the arrays that the optimizer keeps for each weight.

        Args:
            spec: the optimizer, see `specs.model`.
            weights: the arrays of the weights.
        """
        self._spec, self._step = spec, 0
        start = spec.get("initial_accumulator", 0.0)
        self._apply = self._adam if spec["type"].startswith("adam") else self._root
        slots = 2 if spec["type"].startswith("adam") else 1
        self._slots = [
            [np.full_like(weight, start) for _ in range(slots)] + [np.empty_like(weight)]
            for weight in weights
        ]

    def step(self, weights: list[np.ndarray], gradients: list[np.ndarray]) -> None:
        """Change the weights in place; the gradients are lost."""
        self._step += 1
        for weight, gradient, slots in zip(weights, gradients, self._slots):
            self._apply(weight, gradient, *slots)

    def _root(
        self, weight: np.ndarray, gradient: np.ndarray, v: np.ndarray, scratch: np.ndarray
    ) -> None:
        """RMSprop and Adagrad."""
        spec = self._spec
        np.multiply(gradient, gradient, out=scratch)
        if spec["type"] == "rmsprop":
            v *= spec["rho"]
            scratch *= 1.0 - spec["rho"]
        v += scratch
        if spec["epsilon_form"] == "inside_root":
            np.add(v, spec["epsilon"], out=scratch)
            np.sqrt(scratch, out=scratch)
        else:
            np.sqrt(v, out=scratch)
            scratch += spec["epsilon"]
        np.divide(gradient, scratch, out=scratch)
        scratch *= spec["learning_rate"]
        weight -= scratch

    def _adam(
        self,
        weight: np.ndarray,
        gradient: np.ndarray,
        m: np.ndarray,
        v: np.ndarray,
        scratch: np.ndarray,
    ) -> None:
        """Adam and AdamW."""
        spec, rate = self._spec, self._spec["learning_rate"]
        first, second = (_correction(spec[beta], self._step) for beta in ("beta_1", "beta_2"))
        if spec["type"] == "adamw":
            np.multiply(weight, rate * spec["weight_decay"], out=scratch)
            weight -= scratch
        np.multiply(gradient, gradient, out=scratch)
        scratch *= 1.0 - spec["beta_2"]
        v *= spec["beta_2"]
        v += scratch
        gradient *= 1.0 - spec["beta_1"]
        m *= spec["beta_1"]
        m += gradient
        np.sqrt(v, out=scratch)
        if spec["epsilon_form"] == "after_correction":
            scratch /= sqrt(second)
            rate /= first
        else:
            rate *= sqrt(second) / first
        scratch += spec["epsilon"]
        np.divide(m, scratch, out=scratch)
        scratch *= rate
        weight -= scratch


def _correction(beta: float, step: int) -> float:
    """1 - beta^step, without the loss of digits of a difference."""
    return -expm1(step * log(beta)) if beta else 1.0
