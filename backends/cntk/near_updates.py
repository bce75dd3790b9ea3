"""The optimizers of workloads in CNTK.

Where CNTK has the same formula, its own learner is used: SGD, its momentum and Nesterov's, Adam
with epsilon before the correction, and Adadelta. The others are formulas here, of CNTK's operations
in `learners.universal`: CNTK's RMSprop has no epsilon and bounds its steps, the epsilon of its
Adagrad cannot be set, and it has no AdamW.
"""

import math
from typing import Any

import cntk
import numpy as np

# Without it CNTK divides the steps of Adam, Adadelta and others by the size of the batch.
_AS_GIVEN = cntk.learners.IGNORE


class OwnLearner:
    """A learner of CNTK.

    Attributes:
        name: the name of CNTK's function that made it.
        learner: the learner, for a `Trainer`.
    """

    def __init__(self, name: str, learner: Any) -> None:
        self.name, self.learner = name, learner
        self._start = learner.create_checkpoint()

    def begin_step(self, examples: int) -> None:
        """Do nothing: CNTK counts the steps and the examples itself."""

    def reset(self) -> None:
        """Go back to the state before the first step."""
        self.learner.restore_from_checkpoint(self._start)


class FormulaLearner:
    """A base of formulas: arrays that are kept for each weight, and numbers that change in a step.

    CNTK gives `learners.universal` the sum of the gradients of a batch, so it is divided by the
    number of its examples here.

    Attributes:
        name: the name of CNTK's function, and of this class.
        learner: the learner, for a `Trainer`.
    """

    def __init__(self, spec: "dict[str, Any]", parameters: "list[Any]") -> None:
        self._spec, self._step = spec, 0
        self._slots: list[tuple[Any, float]] = []
        self._numbers: dict[str, list[Any]] = {}
        self._examples = self._number("examples", 1.0)

        def update(weights: "list[Any]", gradients: "list[Any]") -> Any:
            return cntk.combine(
                [
                    cntk.assign(weight, self._changed(weight, gradient / self._examples))
                    for weight, gradient in zip(weights, gradients)
                ]
            )

        self.name = f"universal, {type(self).__name__}"
        self.learner = cntk.universal(update, parameters)

    def begin_step(self, examples: int) -> None:
        """Set the numbers of the next step, for a batch of so many examples."""
        self._step += 1
        self._set("examples", examples)

    def reset(self) -> None:
        """Go back to the state before the first step."""
        self._step = 0
        for slot, start in self._slots:
            slot.value = np.full(slot.shape, start, np.float32)

    def _changed(self, weight: Any, gradient: Any) -> Any:
        """The weight after a step; the gradient is the mean over the batch."""
        raise NotImplementedError

    def _slot(self, weight: Any, start: float = 0.0) -> Any:
        """A new array of the weight's shape, which keeps its value from step to step."""
        slot = cntk.constant(start, weight.shape)
        self._slots.append((slot, start))
        return slot

    def _number(self, name: str, value: float) -> Any:
        """A number in the formula, which `_set` changes."""
        self._numbers[name] = [cntk.constant(value, ()), value]
        return self._numbers[name][0]

    def _set(self, name: str, value: float) -> None:
        if self._numbers[name][1] != value:
            self._numbers[name][0].value = np.array(value, np.float32)
            self._numbers[name][1] = value


class RootLearner(FormulaLearner):
    """RMSprop and Adagrad: `w = w - lr g / root`, epsilon inside or outside the root of v."""

    def _changed(self, weight: Any, gradient: Any) -> Any:
        spec = self._spec
        v = self._slot(weight, spec.get("initial_accumulator", 0.0))
        square = gradient * gradient
        if spec["type"] == "rmsprop":
            new = cntk.assign(v, spec["rho"] * v + (1.0 - spec["rho"]) * square)
        else:
            new = cntk.assign(v, v + square)
        epsilon = spec["epsilon"]
        inside = spec["epsilon_form"] == "inside_root"
        root = cntk.sqrt(new + epsilon) if inside else cntk.sqrt(new) + epsilon
        return weight - spec["learning_rate"] * gradient / root


class AdamLearner(FormulaLearner):
    """AdamW, and Adam with epsilon after the correction.

    `w = w - lr decay w - rate m / (sqrt(v) + epsilon)`, where `rate = lr sqrt(second) / first`,
    `first = 1 - beta_1^t` and `second = 1 - beta_2^t`. If epsilon comes after the correction, it is
    multiplied by sqrt(second): then the step is `lr (m / first) / (sqrt(v / second) + epsilon)`.
    """

    def __init__(self, spec: "dict[str, Any]", parameters: "list[Any]") -> None:
        self._beta_1, self._beta_2 = spec["beta_1"], spec["beta_2"]
        super().__init__(spec, parameters)

    def begin_step(self, examples: int) -> None:
        super().begin_step(examples)
        first, second = (1.0 - beta**self._step for beta in (self._beta_1, self._beta_2))
        self._set("rate", self._spec["learning_rate"] * math.sqrt(second) / first)
        if self._spec["epsilon_form"] == "after_correction":
            self._set("epsilon", self._spec["epsilon"] * math.sqrt(second))

    def _changed(self, weight: Any, gradient: Any) -> Any:
        spec = self._spec
        if "rate" not in self._numbers:  # the first weight
            self._number("rate", 0.0)
            self._number("epsilon", spec["epsilon"])
        rate, epsilon = (self._numbers[name][0] for name in ("rate", "epsilon"))
        m, v = self._slot(weight), self._slot(weight)
        mean = cntk.assign(m, self._beta_1 * m + (1.0 - self._beta_1) * gradient)
        square = cntk.assign(v, self._beta_2 * v + (1.0 - self._beta_2) * gradient * gradient)
        changed = weight - rate * mean / (cntk.sqrt(square) + epsilon)
        decay = spec["learning_rate"] * spec.get("weight_decay", 0.0)
        # Not (1 - decay) * weight: in float32 that factor is wrong by as much in each step.
        return changed - decay * weight if decay else changed


def build_learner(spec: "dict[str, Any]", parameters: "list[Any]") -> "OwnLearner | FormulaLearner":
    """The optimizer that the workload names; every constant is passed explicitly."""
    kind = spec["type"]
    rate = cntk.learning_parameter_schedule(spec["learning_rate"])
    if kind == "sgd":
        return _sgd(spec, parameters, rate)
    if kind == "adadelta":
        learner = cntk.adadelta(
            parameters, rate, spec["rho"], spec["epsilon"], minibatch_size=_AS_GIVEN
        )
        return OwnLearner("adadelta", learner)
    if kind == "adam" and spec["epsilon_form"] == "before_correction":
        learner = cntk.adam(
            parameters,
            rate,
            cntk.momentum_schedule(spec["beta_1"]),
            unit_gain=True,  # the mean takes 1 - beta_1 of the gradient
            variance_momentum=cntk.momentum_schedule(spec["beta_2"]),
            epsilon=spec["epsilon"],
            minibatch_size=_AS_GIVEN,
        )
        return OwnLearner("adam", learner)
    return (AdamLearner if kind in ("adam", "adamw") else RootLearner)(spec, parameters)


def _sgd(spec: "dict[str, Any]", parameters: "list[Any]", rate: Any) -> OwnLearner:
    if not spec["momentum"]:
        return OwnLearner("sgd", cntk.sgd(parameters, rate, minibatch_size=_AS_GIVEN))
    make = cntk.nesterov if spec["nesterov"] else cntk.momentum_sgd
    learner = make(
        parameters,
        rate,
        cntk.momentum_schedule(spec["momentum"]),
        unit_gain=False,  # the velocity takes the whole gradient
        minibatch_size=_AS_GIVEN,
    )
    return OwnLearner(make.__name__, learner)
