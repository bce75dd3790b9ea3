"""The optimizers of `specs.model` in scikit-learn.

Where scikit-learn has the same formula, its own optimizer is used. The others are computed by
`backends.formulas`.
"""

from __future__ import annotations

import math

import numpy as np
from sklearn.neural_network._stochastic_optimizers import (
    AdamOptimizer,
    BaseOptimizer,
    SGDOptimizer,
)

from backends.formulas import Updates
from specs.model import Adam, Optimizer, Sgd

Arrays = list[np.ndarray]


class StillOptimizer(BaseOptimizer):
    """Changes no weight: with it `partial_fit` builds a model without training it."""

    def update_params(self, params: Arrays, grads: Arrays) -> None:
        del params, grads


class FormulaOptimizer(BaseOptimizer):
    """RMSprop, Adagrad, AdamW, Adadelta, and Adam that adds epsilon after the correction.

    Everything is computed in the dtype of the weights.
    """

    def __init__(self, params: Arrays, spec: Optimizer) -> None:
        super().__init__(spec.learning_rate)
        # `math.expm1` returns a Python float. A scalar of NumPy would make the arrays float64.
        self._updates = Updates(spec=spec, sqrt=np.sqrt, expm1=math.expm1)
        starts = self._updates.initial_slots()
        self._slots = [tuple(np.full_like(param, start) for start in starts) for param in params]
        self._step = 0

    def update_params(self, params: Arrays, grads: Arrays) -> None:
        self._step += 1
        for position, (param, grad) in enumerate(zip(params, grads, strict=True)):
            param[...], self._slots[position] = self._updates.apply(
                float(self._step), param, grad, self._slots[position]
            )


def build_optimizer(spec: Optimizer, params: Arrays) -> BaseOptimizer:
    """The optimizer that the workload names; every constant is passed explicitly."""
    match spec:
        case Sgd():
            return SGDOptimizer(
                params,
                learning_rate_init=spec.learning_rate,
                lr_schedule="constant",
                momentum=spec.momentum,
                nesterov=spec.nesterov,
            )
        case Adam(epsilon_form="before_correction"):
            return AdamOptimizer(
                params,
                learning_rate_init=spec.learning_rate,
                beta_1=spec.beta_1,
                beta_2=spec.beta_2,
                epsilon=spec.epsilon,
            )
        case _:
            return FormulaOptimizer(params, spec)


def update_dtype(spec: Optimizer) -> str:
    """The type in which the optimizer computes the change of a weight in float32.

    scikit-learn's Adam multiplies by a scalar of NumPy in float64, so its changes are float64; they
    are rounded when they are added to the weight.
    """
    ones = [np.ones(1, np.float32)]
    optimizer = build_optimizer(spec, ones)
    if isinstance(optimizer, FormulaOptimizer):
        return str(ones[0].dtype)  # it assigns, and all its operands have this type
    return str(optimizer._get_updates(ones)[0].dtype)
