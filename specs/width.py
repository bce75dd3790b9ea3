"""A workload made wider, and what it was before: the axis of a sweep over a model's size."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

import msgspec
from msgspec.structs import replace

from specs.errors import SpecError
from specs.model import Conv2d, Dense, Layer, Workload
from specs.shapes import infer_shapes


def widened(workload: Workload, width: int) -> Workload:
    """The workload with `width` times the units of every hidden dense layer and the filters of every convolution.

    A width other than 1 makes a workload of its own, NAME-xWIDTH, without the published figures and
    the target, which are not of that model. The last layer keeps its units, one per class.

    Raises:
        SpecError: nothing can be widened, or the result is not of the language: too many units or
            parameters.
    """
    if width == 1:
        return workload
    *hidden, last = workload.layers
    if not _sizes(hidden):
        raise SpecError(
            f"{workload.name}: it has no hidden dense layer and no convolution that width {width}"
            " could widen",
            expected="a workload with one, as mlp-relu or cnn",
            hint="--width 1",
        )
    made = replace(
        workload,
        name=f"{workload.name}-x{width}",
        title=f"{workload.title}, {width} times as wide",
        layers=(*(_resized(layer, lambda size: size * width) for layer in hidden), last),
        recipe=replace(workload.recipe, target_accuracy=None),
        references=(),
    )
    try:
        infer_shapes(made)
        msgspec.convert(
            msgspec.to_builtins(made), Workload
        )  # the language's limits on a name and on a layer's size
    except SpecError as error:
        raise SpecError(
            f"{made.name}: {error.problem}", expected=error.expected, hint="a smaller --width"
        ) from None
    except msgspec.ValidationError as error:
        raise SpecError(f"{made.name}: {error}", hint="a smaller --width") from None
    return made


def narrowed(workload: Workload) -> tuple[Workload, int]:
    """What a workload was widened from, without words, figures and target, and its width; itself and 1 if it was not.

    Told by the name, and only where every hidden size is a multiple of the width.
    """
    found = re.fullmatch(r"(.+)-x([1-9][0-9]*)", workload.name)
    if found is None:
        return workload, 1
    width, (*hidden, last) = int(found[2]), workload.layers
    if not _sizes(hidden) or any(size % width for size in _sizes(hidden)):
        return workload, 1
    layers = (*(_resized(layer, lambda size: size // width) for layer in hidden), last)
    return replace(workload, name=found[1], layers=layers), width


def _sizes(layers: Sequence[Layer]) -> list[int]:
    return [size for layer in layers if (size := _size(layer)) is not None]


def _size(layer: Layer) -> int | None:
    match layer:
        case Dense(units=size) | Conv2d(filters=size):
            return size
        case _:
            return None


def _resized(layer: Layer, size: Callable[[int], int]) -> Layer:
    match layer:
        case Dense(units=units):
            return replace(layer, units=size(units))
        case Conv2d(filters=filters):
            return replace(layer, filters=size(filters))
        case _:
            return layer
