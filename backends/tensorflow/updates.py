"""The optimizers of `specs.model` by TensorFlow's kernels, one call per weight and step.

TensorFlow has optimizers only in Keras, but a kernel for most of their formulas. The formula of
each is in the documentation of `tf.raw_ops`; the workload's value replaces every constant.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import log

import tensorflow as tf

from backends.formulas import Updates
from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd


class FusedUpdates:
    """One optimizer, with its variables for each weight.

    Args:
        spec: the optimizer.
        weights: name -> weight, which the updates change.
        fused: use the kernels. XLA fuses written formulas itself, and the kernels' extra variables
            made it slower: on two busy CPU cores 1.16 times the CPU time with softmax, 1.11 times
            with the MLP.
    """

    def __init__(self, spec: Optimizer, weights: Mapping[str, tf.Variable], *, fused: bool) -> None:
        self._spec, self._weights, self._fused = spec, weights, fused
        # Used where TensorFlow has no kernel with the workload's formula.
        self._formulas = Updates(spec=spec, sqrt=tf.sqrt, expm1=tf.math.expm1)
        self._step = tf.Variable(0.0)
        self._slots = {
            name: [tf.Variable(tf.fill(weight.shape, value)) for value in self._initial_slots()]
            for name, weight in weights.items()
        }

    def reset(self) -> None:
        """Go back to the state before the first step, in the same variables."""
        self._step.assign(0.0)
        for slots in self._slots.values():
            for slot, value in zip(slots, self._initial_slots(), strict=True):
                slot.assign(tf.fill(slot.shape, value))

    def apply(self, gradients: Mapping[str, tf.Tensor]) -> None:
        """One update of every weight from its gradient."""
        step = self._step.assign_add(1.0, read_value=True)
        for name, weight in self._weights.items():
            self._apply(step, weight, gradients[name], self._slots[name])

    def _initial_slots(self) -> tuple[float, ...]:
        """The start values of a weight's variables, in the order of the kernel's arguments."""
        match self._spec if self._fused else None:
            case RmsProp(epsilon_form="inside_root"):
                return (0.0, 0.0)
            case Adagrad(epsilon_form="inside_root") as spec:
                # The kernel has epsilon outside the root. With an epsilon of 0 there, and the
                # workload's epsilon in the sum of squares from the start, it is inside.
                return (spec.initial_accumulator + spec.epsilon,)
        return self._formulas.initial_slots()

    def _apply(
        self, step: tf.Tensor, weight: tf.Variable, gradient: tf.Tensor, slots: list[tf.Variable]
    ) -> None:
        weight_handle, *handles = (variable.handle for variable in (weight, *slots))
        match self._spec if self._fused else None:
            case Sgd() as spec:
                _sgd(spec, weight_handle, gradient, handles)
            case RmsProp(epsilon_form="inside_root") as spec:
                tf.raw_ops.ResourceApplyRMSProp(
                    var=weight_handle,
                    ms=handles[0],
                    mom=handles[1],
                    lr=spec.learning_rate,
                    rho=spec.rho,
                    momentum=0.0,
                    epsilon=spec.epsilon,
                    grad=gradient,
                )
            case Adagrad() as spec:
                tf.raw_ops.ResourceApplyAdagradV2(
                    var=weight_handle,
                    accum=handles[0],
                    lr=spec.learning_rate,
                    epsilon=0.0 if spec.epsilon_form == "inside_root" else spec.epsilon,
                    grad=gradient,
                )
            case Adam() | AdamW() as spec:
                if isinstance(spec, AdamW):
                    weight.assign_sub(spec.learning_rate * spec.weight_decay * weight)
                _adam(spec, step, weight_handle, gradient, handles)
            case Adadelta() as spec:
                _adadelta(spec, weight_handle, gradient, handles)
            case _:
                new = self._formulas.apply(step, weight, gradient, tuple(slots))
                for variable, value in zip((weight, *slots), (new[0], *new[1]), strict=True):
                    variable.assign(value)


def _sgd(spec: Sgd, weight: tf.Tensor, gradient: tf.Tensor, slots: list[tf.Tensor]) -> None:
    if not slots:
        tf.raw_ops.ResourceApplyGradientDescent(
            var=weight, alpha=spec.learning_rate, delta=gradient
        )
        return
    tf.raw_ops.ResourceApplyKerasMomentum(
        var=weight,
        accum=slots[0],
        lr=spec.learning_rate,
        grad=gradient,
        momentum=spec.momentum,
        use_nesterov=spec.nesterov,
    )


def _adam(
    spec: Adam | AdamW,
    step: tf.Tensor,
    weight: tf.Tensor,
    gradient: tf.Tensor,
    slots: list[tf.Tensor],
) -> None:
    """Both forms of Adam: the kernel adds epsilon before the correction.

    `m/first / (sqrt(v/second) + epsilon)` is `sqrt(second)/first * m / (sqrt(v) + sqrt(second) *
    epsilon)`, so the other form is the kernel's with an epsilon that changes in every step. The
    correction is made in the learning rate, because the kernel would compute 1 - beta^t as a
    difference, with five correct digits.
    """
    first, second = (
        -tf.math.expm1(step * log(beta)) if beta else tf.constant(1.0)
        for beta in (spec.beta_1, spec.beta_2)
    )
    is_after = spec.epsilon_form == "after_correction"
    tf.raw_ops.ResourceApplyAdam(
        var=weight,
        m=slots[0],
        v=slots[1],
        beta1_power=0.0,
        beta2_power=0.0,
        lr=spec.learning_rate * tf.sqrt(second) / first,
        beta1=spec.beta_1,
        beta2=spec.beta_2,
        epsilon=spec.epsilon * tf.sqrt(second) if is_after else spec.epsilon,
        grad=gradient,
    )


def _adadelta(
    spec: Adadelta, weight: tf.Tensor, gradient: tf.Tensor, slots: list[tf.Tensor]
) -> None:
    tf.raw_ops.ResourceApplyAdadelta(
        var=weight,
        accum=slots[0],
        accum_update=slots[1],
        lr=spec.learning_rate,
        rho=spec.rho,
        epsilon=spec.epsilon,
        grad=gradient,
    )
