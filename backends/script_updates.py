"""The optimizers of `specs.model` as lines of a script, for frameworks that have none.

Each formula is written once. It becomes statements that change arrays in place (NumPy), or
`jax.tree.map` over all weights (JAX).
"""

from __future__ import annotations

import re

from msgspec import Struct

from backends.script import number, wrapped
from specs.model import Adadelta, Adagrad, Adam, AdamW, Optimizer, RmsProp, Sgd

# Names in the formulas: a weight, its gradient, and the arrays that an optimizer keeps for each
# weight: v (or m and v, or v and u). d is the step of adadelta.
_ARRAYS = "wgmvud"


class Updates(Struct, frozen=True, kw_only=True):
    """An optimizer as text.

    Attributes:
        constants: name -> value, in the order of the script.
        slots: name of an array that is kept for each weight -> its first value.
        formulas: (name, formula) in their order. The formula of "w" is what is subtracted from the
            weight.
        numbers: (name, formula) of numbers that are the same for all weights. They depend on t,
            the number of the step counted from 1.
    """

    constants: dict[str, float]
    slots: dict[str, float]
    formulas: tuple[tuple[str, str], ...]
    numbers: tuple[tuple[str, str], ...] = ()

    @property
    def constant_lines(self) -> str:
        """The lines that define the constants."""
        return "\n".join(f"{name} = {number(value)}" for name, value in self.constants.items())

    @property
    def counts(self) -> bool:
        """Whether a step takes its number t."""
        return bool(self.numbers)

    @property
    def state(self) -> list[str]:
        """The names that a step takes besides the weights: "m", "v", "t"."""
        return [*self.slots, *(["t"] if self.counts else [])]

    def number_lines(self, sqrt: str) -> list[str]:
        """Statements, without indentation, that compute `numbers`; `sqrt` is "np.sqrt"."""
        return [f"{name} = {text.replace('sqrt', sqrt)}" for name, text in self.numbers]

    def in_place(self) -> list[str]:
        """Statements for NumPy that change `w` and the slots, arrays of one weight, in place."""
        lines = []
        for name, formula in self.formulas:
            text = formula.replace("sqrt(", "np.sqrt(")
            target = f"{name} -=" if name == "w" else f"{name}[:] ="
            lines.append(f"{name} = {text}" if name == "d" else f"{target} {text}")
        return lines

    def tree_maps(self, indent: int) -> list[str]:
        """Statements for JAX: `params = jax.tree.map(...)`, and so on for each slot."""
        lines = [" " * indent + line for line in self.number_lines("jnp.sqrt")]
        for name, formula in self.formulas:
            text = formula.replace("sqrt(", "jnp.sqrt(")
            if name == "w":
                text = f"w - ({text})" if " + " in re.sub(r"\(.*\)", "", text) else f"w - {text}"
            used = [array for array in _ARRAYS if re.search(rf"\b{array}\b", text)]
            trees = [{"w": "params", "g": "gradients"}.get(array, array) for array in used]
            target = "params" if name == "w" else name
            head = f"{target} = jax.tree.map("
            lines.append(wrapped(head, [f"lambda {', '.join(used)}: {text}", *trees], ")", indent))
        return lines


def updates_of(spec: Optimizer) -> Updates:
    """The optimizer's constants, arrays and formulas."""
    names = [name for name in spec.__struct_fields__ if name not in {"epsilon_form", "nesterov"}]
    constants = {name.upper(): getattr(spec, name) for name in names}
    match spec:
        case Sgd(momentum=0.0):
            del constants["MOMENTUM"]
            return Updates(constants=constants, slots={}, formulas=(("w", "LEARNING_RATE * g"),))
        case Sgd(nesterov=nesterov):
            step = "MOMENTUM * v + LEARNING_RATE * g" if nesterov else "v"
            formulas = (("v", "MOMENTUM * v + LEARNING_RATE * g"), ("w", step))
            return Updates(constants=constants, slots={"v": 0.0}, formulas=formulas)
        case RmsProp():
            formulas = (("v", "RHO * v + (1 - RHO) * g**2"), ("w", _divided(spec)))
            return Updates(constants=constants, slots={"v": 0.0}, formulas=formulas)
        case Adagrad(initial_accumulator=start):
            formulas = (("v", "v + g**2"), ("w", _divided(spec)))
            return Updates(constants=constants, slots={"v": start}, formulas=formulas)
        case Adadelta():
            four = (
                ("v", "RHO * v + (1 - RHO) * g**2"),
                ("d", "sqrt(u + EPSILON) / sqrt(v + EPSILON) * g"),
                ("u", "RHO * u + (1 - RHO) * d**2"),
                ("w", "LEARNING_RATE * d"),
            )
            slots = {"v": 0.0, "u": 0.0}
            return Updates(constants=constants, slots=slots, formulas=four)
        case Adam() | AdamW():
            return _adam(spec, constants)


def _divided(spec: RmsProp | Adagrad) -> str:
    if spec.epsilon_form == "inside_root":
        return "LEARNING_RATE * g / sqrt(v + EPSILON)"
    return "LEARNING_RATE * g / (sqrt(v) + EPSILON)"


def _adam(spec: Adam | AdamW, constants: dict[str, float]) -> Updates:
    numbers: tuple[tuple[str, str], ...] = (
        ("rate", "LEARNING_RATE / (1 - BETA_1**t)"),
        ("second", "1 - BETA_2**t"),
    )
    step = "rate * m / (sqrt(v / second) + EPSILON)"
    if spec.epsilon_form == "before_correction":
        numbers = (("rate", "LEARNING_RATE * sqrt(1 - BETA_2**t) / (1 - BETA_1**t)"),)
        step = "rate * m / (sqrt(v) + EPSILON)"
    formulas = [
        ("m", "BETA_1 * m + (1 - BETA_1) * g"),
        ("v", "BETA_2 * v + (1 - BETA_2) * g**2"),
        ("w", step),
    ]
    if isinstance(spec, AdamW):
        formulas.insert(0, ("w", "LEARNING_RATE * WEIGHT_DECAY * w"))
    slots = {"m": 0.0, "v": 0.0}
    return Updates(constants=constants, slots=slots, formulas=tuple(formulas), numbers=numbers)
