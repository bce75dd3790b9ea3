"""Writes a model as Torch7 does: an `nn.Sequential` in its binary serialization, a file `.t7`.

The layout is that of Torch7 on a 64-bit machine: little-endian, int32 for kinds, indices and
lengths, int64 for sizes and strides. An object is its kind and its content; tables, tensors and
modules have an index before it, by which others could refer to them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from backends.contract import Unsupported, Weights
from backends.exports.layers import TrainedLayer, trained_layers
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

_NIL, _NUMBER, _TEXT, _TABLE, _OBJECT, _BOOLEAN = range(6)
_EMPTY = np.zeros(0, np.float32)


class _Module(NamedTuple):
    """An object of a class of the package `nn`, with its fields."""

    kind: str
    fields: Mapping[str, Any]


class _Sizes(tuple[int, ...]):
    """A `torch.LongStorage`."""

    __slots__ = ()


def write(workload: Workload, weights: Weights) -> tuple[bytes, ...]:
    """The content of the file `.t7`; for arguments and errors see `backends.exports.contract`.

    OpenCV skips the fields of `nn.SoftMax`, so nothing may follow them: it is the last module, and
    "modules" the last field.
    """
    modules = [
        module for layer in trained_layers(workload, weights) for module in _modules_of(layer)
    ]
    parts = _Parts()
    parts.add(_module("Sequential", modules=[*modules, _module("SoftMax")]))
    return (b"".join(parts.parts),)


def _module(kind: str, **fields: Any) -> _Module:
    """A module as Torch7 saves it: every module has the first four fields."""
    common = {"_type": "torch.FloatTensor", "train": False, "output": _EMPTY, "gradInput": _EMPTY}
    return _Module(f"nn.{kind}", {**common, **fields})


def _modules_of(layer: TrainedLayer) -> Iterator[_Module]:
    shape, weights = layer.shape, layer.weights
    match shape.layer:
        case Dense(activation=activation):
            yield _module("Linear", weight=weights["kernel"], bias=weights["bias"])
            yield from _activation(activation)
        case Conv2d(strides=strides, activation=activation):
            outputs, inputs, *window = weights["kernel"].shape
            yield _module(
                "SpatialConvolution",
                nInputPlane=inputs,
                nOutputPlane=outputs,
                **_window(window, strides, layer.padding),
                weight=weights["kernel"],
                bias=weights["bias"],
            )
            yield from _activation(activation)
        case MaxPool2d(pool_size=pool):
            yield _module("SpatialMaxPooling", ceil_mode=False, **_window(pool, pool, (0, 0)))
        case AvgPool2d(pool_size=pool):
            fields = {"ceil_mode": False, "count_include_pad": True, "divide": True}
            yield _module("SpatialAveragePooling", **fields, **_window(pool, pool, (0, 0)))
        case BatchNorm(epsilon=epsilon):
            yield _module(
                "BatchNormalization" if len(shape.input) == 1 else "SpatialBatchNormalization",
                eps=epsilon,
                momentum=0.1,  # of a training that goes on
                affine=True,
                weight=weights["scale"],
                bias=weights["shift"],
                running_mean=weights["mean"],
                running_var=weights["variance"],
            )
        case Flatten():
            [size] = shape.output
            sizes = {"size": _Sizes((size,)), "batchsize": _Sizes((1, size))}
            yield _module("Reshape", nelement=size, batchMode=True, **sizes)


def _window(kernel: Any, strides: tuple[int, int], padding: tuple[int, int]) -> dict[str, int]:
    names = ("kH", "kW", "dH", "dW", "padH", "padW")
    return dict(zip(names, (*kernel, *strides, *padding), strict=True))


def _activation(activation: Activation) -> Iterator[_Module]:
    match activation:
        case "relu":
            yield _module("ReLU", threshold=0, val=0, inplace=False)
        case "leaky_relu":  # OpenCV does not know nn.LeakyReLU
            slope = np.full(1, LEAKY_SLOPE, np.float32)
            yield _module("PReLU", nOutputPlane=0, weight=slope)
        case "elu":
            yield _module("ELU", alpha=1, inplace=False)
        case "sigmoid":
            yield _module("Sigmoid")
        case "tanh":
            yield _module("Tanh")
        case "softplus":
            raise Unsupported("OpenCV's reader of .t7 does not know nn.SoftPlus; --format caffe")


class _Parts:
    """The parts of a file, and the number of objects so far."""

    def __init__(self) -> None:
        self.parts: list[bytes] = []
        self._index = 0

    def add(self, value: Any) -> None:
        match value:
            case bool():
                self._integers(_BOOLEAN, int(value))
            case int() | float():
                self._integers(_NUMBER)
                self.parts.append(struct.pack("<d", value))
            case str():
                self._integers(_TEXT)
                self._text(value)
            case _Sizes():
                self._begin("torch.LongStorage")
                self._longs(len(value), *value)
            case np.ndarray():
                self._tensor(np.ascontiguousarray(value, "<f4"))
            case _Module(kind=kind, fields=fields):
                self._begin(kind)
                self._table(fields)
            case list():
                self._table(dict(enumerate(value, 1)))

    def _tensor(self, value: np.ndarray) -> None:
        self._begin("torch.FloatTensor")
        dimensions = value.ndim if value.size else 0
        self._integers(dimensions)
        strides = (step // value.itemsize for step in value.strides)
        self._longs(*((*value.shape, *strides) if dimensions else ()), 1)  # 1: the first element
        if not dimensions:
            self._integers(_NIL)
            return
        self._begin("torch.FloatStorage")
        self._longs(value.size)
        self.parts.append(value.tobytes())

    def _table(self, content: Mapping[Any, Any]) -> None:
        self._index += 1
        self._integers(_TABLE, self._index, len(content))
        for key, value in content.items():
            self.add(key)
            self.add(value)

    def _begin(self, kind: str) -> None:
        self._index += 1
        self._integers(_OBJECT, self._index)
        self._text("V 1")
        self._text(kind)

    def _text(self, text: str) -> None:
        content = text.encode()
        self._integers(len(content))
        self.parts.append(content)

    def _integers(self, *values: int) -> None:
        self.parts.append(struct.pack(f"<{len(values)}i", *values))

    def _longs(self, *values: int) -> None:
        self.parts.append(struct.pack(f"<{len(values)}q", *values))
