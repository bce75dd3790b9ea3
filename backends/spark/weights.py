"""Spark's vector of all weights, and the canonical arrays in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from backends.contract import Weights
from backends.spark.device import Session
from specs.model import Workload
from specs.shapes import infer_shapes


def as_vector(weights: Weights) -> np.ndarray:
    """All weights in one vector (n,), float64: kernel (in, out) and bias, layer by layer."""
    return np.concatenate([array.ravel() for array in weights.values()]).astype(np.float64)


def as_weights(workload: Workload, vector: np.ndarray) -> Weights:
    """The weights with their canonical names and shapes, as float32 copies."""
    weights, start = {}, 0
    for layer in infer_shapes(workload):
        for name, shape in layer.parameters.items():
            stop = start + int(np.prod(shape))
            weights[name] = vector[start:stop].reshape(shape).astype(np.float32)
            start = stop
    return weights


def java_sizes(session: Session, sizes: Sequence[int]) -> Any:
    """Java's array of integers."""
    array = session.context._gateway.new_array(session.jvm.int, len(sizes))
    for position, size in enumerate(sizes):
        array[position] = size
    return array
