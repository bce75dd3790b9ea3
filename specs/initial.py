"""Draws all random values of a training in NumPy from a seed; every backend gets the same values.

`RandomState` is used because its streams never change (NEP 19). The streams of `Generator` may
change between NumPy versions, and the frameworks' environments have different NumPy versions.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from specs.model import Dropout, Initializer, Workload
from specs.shapes import Shape, infer_shapes

Weights = dict[str, npt.NDArray[np.float32]]

# One stream per purpose, so that the numbers drawn for one do not change those for another.
_WEIGHTS, _ORDER, _MASKS, _SYNTHETIC = range(4)


def initial_weights(workload: Workload, seed: int) -> Weights:
    """The initial weights and state: name -> float32 array in canonical layout.

    The names are in layer order, and a layer's parameters come before its state. Kernels are drawn
    by the recipe's initializer; batch norm's scale and running variance are 1; all others are 0.
    """
    random = _stream(seed, _WEIGHTS)
    weights: Weights = {}
    for layer in infer_shapes(workload):
        for name, shape in (layer.parameters | layer.state).items():
            kind = name.partition(".")[2]
            if kind == "kernel":
                weights[name] = _draw(random, workload.recipe.initializer, shape)
            else:
                weights[name] = np.full(
                    shape, 1.0 if kind in ("scale", "variance") else 0.0, np.float32
                )
    return weights


def epoch_order(
    workload: Workload, seed: int, epoch: int, examples: int, batch_size: int
) -> npt.NDArray[np.int64]:
    """The indices of the examples in the order in which an epoch (counted from 0) visits them.

    It is a permutation (examples,). If the recipe drops the last partial batch, only the indices of
    whole batches are returned.
    """
    order = _stream(seed, _ORDER, epoch).permutation(examples).astype(np.int64)  # (examples,)
    if workload.recipe.last_partial_batch == "drop":
        order = order[: examples // batch_size * batch_size]
    return order


def dropout_masks(
    workload: Workload, seed: int, epoch: int, examples: int
) -> list[npt.NDArray[np.bool_]]:
    """The values that dropout keeps in an epoch of `bench verify`.

    One boolean array (examples, *layer shape) per dropout layer, in layer order.
    """
    random = _stream(seed, _MASKS, epoch)
    return [
        random.random_sample((examples, *layer.output)) >= layer.layer.rate
        for layer in infer_shapes(workload)
        if isinstance(layer.layer, Dropout)
    ]


def synthetic_stream(seed: int) -> np.random.RandomState:
    """The random stream of the synthetic data set."""
    return _stream(seed, _SYNTHETIC)


def _stream(*key: int) -> np.random.RandomState:
    return np.random.RandomState(np.random.MT19937(np.random.SeedSequence(key)))


def _draw(
    random: np.random.RandomState, initializer: Initializer, shape: Shape
) -> npt.NDArray[np.float32]:
    """A kernel, drawn by an initializer.

    Sources: Glorot and Bengio 2010; He et al. 2015; LeCun et al. 1998. The fan of a convolution is
    the number of channels times the size of the window.
    """
    window = int(np.prod(shape[:-2]))
    fan_in, fan_out = window * shape[-2], window * shape[-1]
    match initializer:
        case "glorot_uniform":
            return _uniform(random, np.sqrt(6.0 / (fan_in + fan_out)), shape)
        case "he_uniform":
            return _uniform(random, np.sqrt(6.0 / fan_in), shape)
        case "uniform":
            return _uniform(random, 0.05, shape)
        case "glorot_normal":
            return random.normal(0.0, np.sqrt(2.0 / (fan_in + fan_out)), shape).astype(np.float32)
        case "he_normal":
            return random.normal(0.0, np.sqrt(2.0 / fan_in), shape).astype(np.float32)
        case "lecun_normal":
            return random.normal(0.0, np.sqrt(1.0 / fan_in), shape).astype(np.float32)
        case "zeros":
            return np.zeros(shape, np.float32)


def _uniform(random: np.random.RandomState, limit: float, shape: Shape) -> npt.NDArray[np.float32]:
    return random.uniform(-limit, limit, shape).astype(np.float32)
