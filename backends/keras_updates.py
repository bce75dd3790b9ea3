"""The specs' optimizers in Keras: its own where the formula is the spec's, written out where it is not."""

from __future__ import annotations

import keras
from keras import ops

from specs.model import Adadelta, Optimizer, RmsProp, Sgd


class RmsPropOutsideRoot(keras.optimizers.RMSprop):
    """`v = rho v + (1 - rho) g^2; w = w - lr g / (sqrt(v) + epsilon)`; Keras's own has epsilon inside the root."""

    def update_step(
        self, gradient: keras.KerasTensor, variable: keras.Variable, learning_rate: keras.KerasTensor
    ) -> None:
        """One update of one weight from its gradient."""
        v = self._velocities[self._get_variable_index(variable)]
        self.assign(v, self.rho * v + (1.0 - self.rho) * ops.square(gradient))
        step = ops.cast(learning_rate, variable.dtype) * gradient / (ops.sqrt(v) + self.epsilon)
        self.assign_sub(variable, step)


def build_optimizer(spec: Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer that the spec names, every constant given, none left to Keras's defaults."""
    match spec:
        case Sgd():
            return keras.optimizers.SGD(spec.learning_rate, momentum=spec.momentum)
        case RmsProp():
            kind = keras.optimizers.RMSprop if spec.epsilon_form == "inside_root" else RmsPropOutsideRoot
            return kind(spec.learning_rate, rho=spec.rho, epsilon=spec.epsilon, momentum=0.0, centered=False)
        case Adadelta():
            return keras.optimizers.Adadelta(spec.learning_rate, rho=spec.rho, epsilon=spec.epsilon)
