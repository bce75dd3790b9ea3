"""Writes a model as Caffe does: its network as text, `.prototxt`, and its weights, `.caffemodel`.

The weights are a message of Protocol Buffers, of which only fields with a length are needed: texts,
messages and packed numbers. So a dozen lines write it without a package.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from backends.contract import Unsupported, Weights
from backends.exports.layers import Array, TrainedLayer, trained_layers
from specs.model import (
    LEAKY_SLOPE,
    Activation,
    AvgPool2d,
    BatchNorm,
    Conv2d,
    Dense,
    Flatten,
    MaxPool2d,
    Workload,
)
from specs.shapes import FLOAT_BYTES, infer_shapes

# The numbers of the fields in Caffe's caffe.proto.
_NET_NAME, _NET_LAYER = 1, 100
_LAYER_NAME, _LAYER_TYPE, _LAYER_BLOBS = 1, 2, 7
_BLOB_DATA, _BLOB_SHAPE, _SHAPE_DIMENSIONS = 5, 7, 1
_WITH_A_LENGTH = 2
MOST_BYTES = 2**31 - 1  # of a message that a reader takes

_ACTIVATIONS: dict[Activation, tuple[str, str]] = {
    "relu": ("ReLU", ""),
    "leaky_relu": ("ReLU", f"relu_param {{ negative_slope: {LEAKY_SLOPE} }}"),
    "elu": ("ELU", "elu_param { alpha: 1 }"),
    "softplus": ("BNLL", ""),  # binomial normal log likelihood: log(1 + exp(x))
    "sigmoid": ("Sigmoid", ""),
    "tanh": ("TanH", ""),
}


class _Layer(NamedTuple):
    """A layer of Caffe: its type, its parameters in text form, its weights, and other results.

    Attributes:
        rest: whether it has a second result, which nothing uses.
    """

    kind: str
    parameters: str = ""
    blobs: tuple[Array, ...] = ()
    rest: bool = False


def write(workload: Workload, weights: Weights) -> tuple[bytes, ...]:
    """The contents of `.prototxt` and `.caffemodel`; see `backends.exports.contract.Writer`."""
    parameters = sum(shape.parameter_count for shape in infer_shapes(workload))
    if parameters * FLOAT_BYTES > MOST_BYTES:
        raise Unsupported(
            f"{parameters:,} weights: a .caffemodel has at most {MOST_BYTES // FLOAT_BYTES:,}"
        )
    layers = [each for layer in trained_layers(workload, weights) for each in _layers_of(layer)]
    names = [f"{number}_{layer.kind}" for number, layer in enumerate(layers, 1)]
    return _text(workload, layers, names).encode(), _message(workload, layers, names)


def _layers_of(layer: TrainedLayer) -> Iterator[_Layer]:
    shape, weights = layer.shape, layer.weights
    match shape.layer:
        case Dense(units=units, activation=activation):
            parameters = f"inner_product_param {{ num_output: {units} }}"
            yield _Layer("InnerProduct", parameters, (weights["kernel"], weights["bias"]))
            yield from _activation(activation)
        case Conv2d(strides=strides, activation=activation):
            outputs, _, *window = weights["kernel"].shape
            sizes = _pair("kernel", window), _pair("stride", strides), _pair("pad", layer.padding)
            parameters = f"convolution_param {{ num_output: {outputs} {' '.join(sizes)} }}"
            yield _Layer("Convolution", parameters, (weights["kernel"], weights["bias"]))
            yield from _activation(activation)
        case MaxPool2d(pool_size=pool):
            yield from _pooling("MAX", pool, layer)
        case AvgPool2d(pool_size=pool):
            yield from _pooling("AVE", pool, layer)
        case BatchNorm(epsilon=epsilon):
            # The third blob divides the other two.
            running = weights["mean"], weights["variance"], np.ones(1, np.float32)
            parameters = f"batch_norm_param {{ use_global_stats: true eps: {epsilon!r} }}"
            yield _Layer("BatchNorm", parameters, running)
            scale = weights["scale"], weights["shift"]
            yield _Layer("Scale", "scale_param { bias_term: true }", scale)
        case Flatten():
            yield _Layer("Flatten")


def _activation(activation: Activation) -> Iterator[_Layer]:
    if activation != "linear":
        yield _Layer(*_ACTIVATIONS[activation])


def _pooling(kind: str, pool: tuple[int, int], layer: TrainedLayer) -> Iterator[_Layer]:
    """A pool, after the rows and columns are cut off that would be in partial windows.

    Caffe keeps partial windows, and its releases have no option to drop them.
    """
    for axis, (size, window) in enumerate(zip(layer.shape.input[:2], pool, strict=True), 2):
        if size % window:
            cut = size - size % window
            yield _Layer("Slice", f"slice_param {{ axis: {axis} slice_point: {cut} }}", rest=True)
    sizes = f"{_pair('kernel', pool)} {_pair('stride', pool)}"
    yield _Layer("Pooling", f"pooling_param {{ pool: {kind} {sizes} }}")


def _pair(name: str, values: tuple[int, int] | list[int]) -> str:
    return f"{name}_h: {values[0]} {name}_w: {values[1]}"


def _text(workload: Workload, layers: list[_Layer], names: list[str]) -> str:
    height, width, channels = workload.input.shape
    sizes = " ".join(f"dim: {size}" for size in (1, channels, height, width))
    lines = [
        f'name: "{workload.name}"',
        f'layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ {sizes} }} }} }}',
    ]
    bottom = "data"
    for name, layer in zip(names, layers, strict=True):
        rest = f' top: "{name}_rest"' if layer.rest else ""
        lines.append(
            f'layer {{ name: "{name}" type: "{layer.kind}" bottom: "{bottom}" top: "{name}"{rest}'
            f" {layer.parameters} }}"
        )
        bottom = name
    lines.append(f'layer {{ name: "prob" type: "Softmax" bottom: "{bottom}" top: "prob" }}')
    return "\n".join([*lines, ""])


def _message(workload: Workload, layers: list[_Layer], names: list[str]) -> bytes:
    """The layers that have weights; readers find them by their names."""
    parts = [_field(_NET_NAME, workload.name.encode())]
    for name, layer in zip(names, layers, strict=True):
        if layer.blobs:
            blobs = [_field(_LAYER_BLOBS, _blob(value)) for value in layer.blobs]
            kind = _field(_LAYER_TYPE, layer.kind.encode())
            content = b"".join([_field(_LAYER_NAME, name.encode()), kind, *blobs])
            parts.append(_field(_NET_LAYER, content))
    return b"".join(parts)


def _blob(value: Array) -> bytes:
    sizes = _field(_SHAPE_DIMENSIONS, b"".join(map(_number, value.shape)))
    data = np.ascontiguousarray(value, "<f4").tobytes()
    return _field(_BLOB_SHAPE, sizes) + _field(_BLOB_DATA, data)


def _field(number: int, content: bytes) -> bytes:
    return _number(number << 3 | _WITH_A_LENGTH) + _number(len(content)) + content


def _number(value: int) -> bytes:
    """7 bits per byte, the lowest first; all bytes but the last have their highest bit set."""
    found = bytearray()
    while value > 0x7F:  # noqa: PLR2004 - 7 bits
        found.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*found, value])
