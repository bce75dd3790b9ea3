"""Makes a workload wider, and finds the original of a widened workload.

A sweep uses it to vary the size of a model.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from specs.errors import SpecError
from specs.model import Conv2d, Dense, Layer, Workload
from specs.shapes import infer_shapes


def widened(workload: Workload, width: int) -> Workload:
    """The workload with `width` times as many hidden units and filters.

    The units of every dense layer except the last are multiplied, and the filters of every
    convolution. The last layer keeps one unit per class. With a width above 1 the name becomes
    NAME-xWIDTH, and the published figures and the target are removed, as they belong to the
    original.

    Raises:
        SpecError: the workload has no layer to widen, or the result is not valid: it has too many
            units or parameters, or its name is too long.
    """
    if width == 1:
        return workload
    *hidden, last = workload.layers
    if not _sizes(hidden):
        raise SpecError(
            f"{workload.name}: it has no hidden dense layer and no convolution, so width {width}"
            " changes nothing",
            expected="a workload with such a layer, e.g. mlp-relu or cnn",
            hint="--width 1",
        )
    wide = replace(
        workload,
        name=f"{workload.name}-x{width}",
        title=f"{workload.title}, {width} times as wide",
        layers=(*(_resized(layer, lambda size: size * width) for layer in hidden), last),
        recipe=replace(workload.recipe, target_accuracy=None),
        references=(),
    )
    try:
        infer_shapes(wide)
        # Decoding checks the limits of a name and of a layer's size.
        msgspec.convert(msgspec.to_builtins(wide), Workload)
    except SpecError as error:
        raise SpecError(
            f"{wide.name}: {error.problem}", expected=error.expected, hint="a smaller --width"
        ) from None
    except msgspec.ValidationError as error:
        raise SpecError(f"{wide.name}: {error}", hint="a smaller --width") from None
    return wide


def narrowed(workload: Workload) -> tuple[Workload, int]:
    """The original of a widened workload, and the width; the inverse of `widened`.

    A workload counts as widened if its name ends in -xWIDTH and every hidden size is a multiple of
    the width; otherwise the result is the workload itself and 1. Title, published figures and
    target are not restored.
    """
    match = re.fullmatch(r"(.+)-x([1-9][0-9]*)", workload.name)
    if match is None:
        return workload, 1
    width, (*hidden, last) = int(match[2]), workload.layers
    if not _sizes(hidden) or any(size % width for size in _sizes(hidden)):
        return workload, 1
    layers = (*(_resized(layer, lambda size: size // width) for layer in hidden), last)
    return replace(workload, name=match[1], layers=layers), width


def _sizes(layers: Sequence[Layer]) -> list[int]:
    """The units or filters of the layers that have them."""
    return [size for layer in layers if (size := _size(layer)) is not None]


def _size(layer: Layer) -> int | None:
    match layer:
        case Dense(units=size) | Conv2d(filters=size):
            return size
        case _:
            return None


def _resized(layer: Layer, new_size: Callable[[int], int]) -> Layer:
    match layer:
        case Dense(units=units):
            return replace(layer, units=new_size(units))
        case Conv2d(filters=filters):
            return replace(layer, filters=new_size(filters))
        case _:
            return layer
