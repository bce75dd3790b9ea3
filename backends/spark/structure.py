"""Finds the layers of `MultilayerPerceptronClassifier` for a workload, or why it cannot have it.

This module does not import Spark: the bench's own environment asks it.
"""

from __future__ import annotations

from math import prod

from backends.contract import Unsupported
from specs.model import Dense, Flatten, Sgd, Workload


def sizes_of(workload: Workload) -> tuple[int, ...]:
    """The sizes of all layers, input and classes included; two of them are softmax regression.

    Raises:
        Unsupported: Spark does not have such a model.
    """
    dense = [layer for layer in workload.layers if isinstance(layer, Dense)]
    others = [
        str(layer.__struct_config__.tag)
        for layer in workload.layers
        if not isinstance(layer, Dense | Flatten)
    ]
    if others:
        found = ", ".join(dict.fromkeys(others))
        raise Unsupported(f"Spark MLlib has dense layers only, and this model has {found}")
    if workload.loss != "softmax_cross_entropy":
        raise Unsupported("Spark MLlib has no quadratic cost, its loss is the cross-entropy")
    activations = dict.fromkeys(layer.activation for layer in dense[:-1])
    if wrong := [name for name in activations if name != "sigmoid"]:
        found = ", ".join(wrong)
        raise Unsupported(
            f"the hidden layers of Spark MLlib are sigmoid, and this model has {found}"
        )
    return (prod(workload.input.shape), *(layer.units for layer in dense))


def refuse(workload: Workload) -> None:
    """Raise `Unsupported` if Spark cannot train the workload in matched mode."""
    sizes_of(workload)
    spec = workload.optimizer
    if not isinstance(spec, Sgd):
        method = str(spec.__struct_config__.tag)
        raise Unsupported(
            f"Spark MLlib has plain gradient descent and L-BFGS, and this workload has {method}"
        )
    if spec.momentum:
        raise Unsupported("the gradient descent of Spark MLlib has no momentum")
