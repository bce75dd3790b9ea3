"""Bounds on every value of a record, as its file may come from somebody else.

The bounds are wide: every value that a machine can measure is within them. One value outside could
stop the report of all records, for example by a division by zero.
"""

from __future__ import annotations

from functools import cache, reduce
from operator import or_
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin

import msgspec
from msgspec import NODEFAULT, Meta, Struct

MOST_WORDS = 100_000  # characters of a reason or a traceback
_MOST_NAME = 10_000  # characters of every other text
_WORDS = {"reason", "details", "failed", "unsupported", "not_verified", "refused"}
_MOST_COUNT, _MOST_INTEGER, _MOST = 10**9, 10**18, 1e50
_LEAST_SECONDS, _MOST_SECONDS = 1e-9, 1e9  # the step of a clock; 32 years
# Divisors, which must not be 0: counts, and times as (class, field).
_COUNTS = {
    *("train_examples", "test_examples", "epochs", "batch_size", "threads"),
    *("logical_cpus", "allowed_cpus", "allowed_cores", "examples"),
}
_TIMES = {
    *(("Phase", "wall_seconds"), ("ShortEpochs", "wall_seconds"), ("Turn", "wall_seconds")),
    ("Reached", "seconds"),
}
_NOT_NEGATIVE = ("bytes", "joules", "watts", "mhz", "deviation", "deviations", "other_cpu", "steal")


def outside(content: bytes, kind: type[Struct]) -> str:
    """The first value that is out of bounds, and what was expected; "" if all are within.

    Args:
        content: JSON that can be decoded as the kind.
        kind: the kind of the record.
    """
    try:
        msgspec.json.decode(content, type=_bounded(kind))
    except msgspec.ValidationError as error:
        problem, _, where = str(error).partition(" - at `$.")
        return f"{where.rstrip('`')}: {problem.replace('`', '')}"
    return ""


@cache
def _bounded(kind: type[Struct]) -> type[Struct]:
    """A struct of the same fields, with bounds on their values."""
    config = kind.__struct_config__
    fields: list[Any] = []
    for field in msgspec.structs.fields(kind):
        is_required = field.default is NODEFAULT and field.default_factory is NODEFAULT
        bounds = _with_bounds(field.type, kind.__name__, field.name)
        fields.append((field.name, bounds) if is_required else (field.name, bounds, None))
    return msgspec.defstruct(
        kind.__name__, fields, kw_only=True, tag=config.tag, tag_field=config.tag_field
    )


def _with_bounds(kind: Any, struct: str, name: str) -> Any:
    """The type of a field with bounds added; a type that already has bounds is unchanged."""
    parts = get_args(kind)
    match get_origin(kind) or kind:
        case origin if origin in (Union, UnionType):
            return reduce(or_, (_with_bounds(part, struct, name) for part in parts))
        case origin if origin in (dict, tuple):
            return origin[tuple(_with_bounds(part, struct, name) for part in parts)]
        case origin if origin is str:
            return Annotated[str, Meta(max_length=MOST_WORDS if name in _WORDS else _MOST_NAME)]
        case origin if origin is int:
            return Annotated[int, _of_integer(name)]
        case origin if origin is float:
            return Annotated[float, _of_number(struct, name)]
        case type() as origin if issubclass(origin, Struct):
            return _bounded(origin)
    return kind


def _of_integer(name: str) -> Meta:
    if name == "settings":  # any integer that a framework reports
        return Meta(ge=-_MOST_INTEGER, le=_MOST_INTEGER)
    return Meta(ge=1, le=_MOST_COUNT) if name in _COUNTS else Meta(ge=0, le=_MOST_INTEGER)


def _of_number(struct: str, name: str) -> Meta:
    if name.endswith("seconds"):
        is_divisor = (struct, name) in _TIMES
        return Meta(ge=_LEAST_SECONDS if is_divisor else 0, le=_MOST_SECONDS)
    if name.endswith("accuracy"):
        return Meta(ge=0, le=1)
    return Meta(ge=0 if name.endswith(_NOT_NEGATIVE) else -_MOST, le=_MOST)
