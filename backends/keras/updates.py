"""The optimizers of `specs.model` in Keras.

Where Keras has the same formula, its own optimizer is used. The others are implemented here.
"""

from __future__ import annotations

import keras
from keras import ops

from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd


class RmsPropOutsideRoot(keras.optimizers.RMSprop):
    """`v = rho v + (1 - rho) g^2; w = w - lr g / (sqrt(v) + epsilon)`.

    Keras's own RMSprop has epsilon inside the root.
    """

    def update_step(
        self,
        gradient: keras.KerasTensor,
        variable: keras.Variable,
        learning_rate: keras.KerasTensor,
    ) -> None:
        """One update of one weight from its gradient."""
        v = self._velocities[self._get_variable_index(variable)]
        self.assign(v, self.rho * v + (1.0 - self.rho) * ops.square(gradient))
        step = ops.cast(learning_rate, variable.dtype) * gradient / (ops.sqrt(v) + self.epsilon)
        self.assign_sub(variable, step)


class AdagradOutsideRoot(keras.optimizers.Adagrad):
    """`v = v + g^2; w = w - lr g / (sqrt(v) + epsilon)`.

    Keras's own Adagrad has epsilon inside the root.
    """

    def update_step(
        self,
        gradient: keras.KerasTensor,
        variable: keras.Variable,
        learning_rate: keras.KerasTensor,
    ) -> None:
        """One update of one weight from its gradient."""
        v = self._accumulators[self._get_variable_index(variable)]
        self.assign_add(v, ops.square(gradient))
        step = ops.cast(learning_rate, variable.dtype) * gradient / (ops.sqrt(v) + self.epsilon)
        self.assign_sub(variable, step)


class AdamAfterCorrection(keras.optimizers.Adam):
    """`w = w - lr M / (sqrt(V) + epsilon)`, with the corrected averages `M` and `V` of g and g^2.

    Keras's own Adam adds epsilon before the correction.
    """

    def update_step(
        self,
        gradient: keras.KerasTensor,
        variable: keras.Variable,
        learning_rate: keras.KerasTensor,
    ) -> None:
        """One update of one weight from its gradient."""
        index, t = self._get_variable_index(variable), ops.cast(self.iterations + 1, variable.dtype)
        m, v = self._momentums[index], self._velocities[index]
        self.assign_add(m, (1.0 - self.beta_1) * (gradient - m))
        self.assign_add(v, (1.0 - self.beta_2) * (ops.square(gradient) - v))
        first, second = (
            1.0 - ops.power(ops.cast(beta, variable.dtype), t)
            for beta in (self.beta_1, self.beta_2)
        )
        rate = ops.cast(learning_rate, variable.dtype) / first
        self.assign_sub(variable, rate * m / (ops.sqrt(v / second) + self.epsilon))


def build_optimizer(spec: Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that the workload names; every constant is passed explicitly."""
    match spec:
        case Sgd():
            return keras.optimizers.SGD(
                spec.learning_rate, momentum=spec.momentum, nesterov=spec.nesterov
            )
        case RmsProp():
            return _rmsprop(spec)
        case Adagrad():
            return _adagrad(spec)
        case Adam() | AdamW():
            return _adam(spec)
        case Adadelta():
            return keras.optimizers.Adadelta(spec.learning_rate, rho=spec.rho, epsilon=spec.epsilon)


def _rmsprop(spec: RmsProp) -> keras.optimizers.Optimizer:
    inside = spec.epsilon_form == "inside_root"
    kind = keras.optimizers.RMSprop if inside else RmsPropOutsideRoot
    return kind(
        spec.learning_rate, rho=spec.rho, epsilon=spec.epsilon, momentum=0.0, centered=False
    )


def _adagrad(spec: Adagrad) -> keras.optimizers.Optimizer:
    inside = spec.epsilon_form == "inside_root"
    kind = keras.optimizers.Adagrad if inside else AdagradOutsideRoot
    return kind(
        spec.learning_rate,
        initial_accumulator_value=spec.initial_accumulator,
        epsilon=spec.epsilon,
    )


def _adam(spec: Adam | AdamW) -> keras.optimizers.Optimizer:
    before = spec.epsilon_form == "before_correction"
    kind = keras.optimizers.Adam if before else AdamAfterCorrection
    return kind(
        spec.learning_rate,
        beta_1=spec.beta_1,
        beta_2=spec.beta_2,
        epsilon=spec.epsilon,
        amsgrad=False,
        # Every optimizer of Keras applies it separately from the gradient.
        weight_decay=spec.weight_decay if isinstance(spec, AdamW) else None,
    )
