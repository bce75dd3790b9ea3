"""Finds the arguments of `MLPClassifier` for a workload, or why it cannot have its model.

This module does not import scikit-learn, as scripts are written in the bench's own environment.
"""

from __future__ import annotations

from msgspec import Struct

from backends.contract import Unsupported
from specs.model import Activation, Dense, Flatten, Workload

# The activations of `MLPClassifier` by the names that workloads use.
_ACTIVATIONS: dict[Activation, str] = {
    "relu": "relu",
    "sigmoid": "logistic",
    "tanh": "tanh",
    "linear": "identity",
}


class Structure(Struct, frozen=True, kw_only=True):
    """A model as `MLPClassifier` describes it.

    Attributes:
        hidden_layer_sizes: () for softmax regression.
        activation: of all hidden layers, by scikit-learn's name.
        classes: the number of classes, which are 0 .. classes - 1.
    """

    hidden_layer_sizes: tuple[int, ...]
    activation: str
    classes: int


def structure_of(workload: Workload) -> Structure:
    """The arguments for a workload's model.

    Raises:
        Unsupported: scikit-learn does not have such a model.
    """
    dense = [layer for layer in workload.layers if isinstance(layer, Dense)]
    others = [
        str(layer.__struct_config__.tag)
        for layer in workload.layers
        if not isinstance(layer, Dense | Flatten)
    ]
    if others:
        found = ", ".join(dict.fromkeys(others))
        raise Unsupported(f"scikit-learn has dense layers only, and this model has {found}")
    if workload.loss != "softmax_cross_entropy":
        raise Unsupported(
            "scikit-learn's MLPClassifier has no quadratic cost, its loss is the cross-entropy"
        )
    if workload.input.classes < 3:  # noqa: PLR2004 - the sentence explains it
        raise Unsupported(
            "scikit-learn's MLPClassifier trains two classes with one sigmoid, not with a softmax"
        )
    activations = list(dict.fromkeys(layer.activation for layer in dense[:-1])) or ["relu"]
    if len(activations) > 1:
        raise Unsupported(
            "scikit-learn's MLPClassifier has one activation for all hidden layers, and this model"
            f" has {', '.join(activations)}"
        )
    if activations[0] not in _ACTIVATIONS:
        known = ", ".join(_ACTIVATIONS)
        raise Unsupported(f"scikit-learn has no {activations[0]}, its activations are {known}")
    return Structure(
        hidden_layer_sizes=tuple(layer.units for layer in dense[:-1]),
        activation=_ACTIVATIONS[activations[0]],
        classes=workload.input.classes,
    )
