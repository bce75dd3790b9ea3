"""Reads workloads and suites from JSON files.

An invalid file raises a `SpecError` with the file, the JSON path, the actual and the expected
value.
"""

from __future__ import annotations

import json
import re
import typing
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from specs import model
from specs.errors import SpecError, closest
from specs.files import read_regular
from specs.shapes import infer_shapes

WORKLOADS = Path(__file__).parent / "workloads"
SUITES = Path(__file__).parent / "suites"
SCHEMA = Path(__file__).parent / "schema.json"

_T = TypeVar("_T", model.Workload, model.Suite)
_TAGS: dict[str, type] = {
    str(record.__struct_config__.tag): record
    for union in (model.Layer, model.Optimizer)
    for record in typing.get_args(union)
}
_PARTS: dict[str, type] = {
    "input": model.Input,
    "recipe": model.Recipe,
    "references": model.Reference,
    "workloads": model.SuiteEntry,
}
# A type in the decoder's messages -> plain words.
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "array": "a list",
    "object": "an object",
}
_MOST_BYTES = 10_000_000
_LONGEST_VALUE = 60  # an error shows so many characters of a wrong value, to fit a terminal line


def load_workload(path: Path) -> model.Workload:
    """The workload in a JSON file; its shapes are checked.

    Raises:
        SpecError: the file cannot be read or does not describe a workload, or its layers do not fit
            each other.
    """
    workload = _load(path, model.Workload)
    try:
        infer_shapes(workload)
    except SpecError as error:
        raise SpecError(
            f"{path}: {error.problem}", expected=error.expected, hint=error.hint
        ) from None
    return workload


def load_suite(path: Path) -> model.Suite:
    """The suite in a JSON file; see `load_workload` for the errors."""
    return _load(path, model.Suite)


def find_workload(name: str) -> model.Workload:
    """The workload with this name, or in this file if the name ends in `.json`."""
    return load_workload(_find(name, WORKLOADS, "workload"))


def find_suite(name: str) -> model.Suite:
    """The suite with this name, or in this file if the name ends in `.json`."""
    return load_suite(_find(name, SUITES, "suite"))


def names(folder: Path) -> list[str]:
    """The names of the workloads or suites in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.json"))


def schema() -> dict[str, Any]:
    """The JSON Schema of a workload file, generated from the records that decode the file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(model.Workload),
    }


def _find(name: str, folder: Path, kind: str) -> Path:
    """The file of a workload or suite; `kind` is that word, for the error."""
    if name.endswith(".json"):
        return Path(name)
    known = names(folder)
    if name not in known:
        hint = closest(name, known) or "for your own file, give its path, which ends in .json"
        raise SpecError(
            f"no {kind} is named {_shown(name)}", expected=f"one of {', '.join(known)}", hint=hint
        )
    return folder / f"{name}.json"


def _load(path: Path, kind: type[_T]) -> _T:
    try:
        text = read_regular(path, _MOST_BYTES).decode("utf-8")
    except OSError as error:
        raise SpecError(
            f"{path}: cannot be read: {error.strerror}", expected="a JSON file"
        ) from error
    except UnicodeDecodeError as error:
        problem = f"{path}: byte {error.start} is not UTF-8 text"
        raise SpecError(
            problem, expected="JSON in UTF-8", hint="save the file with the encoding UTF-8"
        ) from error
    try:
        return msgspec.json.decode(text, type=kind)
    except msgspec.ValidationError as error:
        try:
            explained = _explain(path, text, kind, str(error))
        except (LookupError, TypeError, ValueError):
            # A key looks like a part of the decoder's message.
            explained = SpecError(f"{path}: {_short(str(error))}")
        raise explained from None
    except (msgspec.DecodeError, RecursionError) as error:
        is_empty = not text.strip()
        problem = "the file is empty" if is_empty else f"not JSON: {_position(text, str(error))}"
        raise SpecError(
            f"{path}: {problem}",
            expected=f"one JSON object that describes a {kind.__name__.lower()}",
        ) from None


def _position(text: str, message: str) -> str:
    """The decoder's message, with line and column instead of the byte offset."""
    offset = re.search(r" \(byte (\d+)\)", message)
    if not offset:
        return message
    before = text.encode()[: int(offset[1])].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{message[: offset.start()]} at line {line}, column {column}"


def _explain(path: Path, text: str, kind: type, message: str) -> SpecError:
    """The error for a decoder's message: the actual value, the possible values and a guess."""
    problem, _, where = message.partition(" - at `$")
    where = where.rstrip("`").removeprefix(".")
    try:
        content = json.loads(text)
    except (ValueError, RecursionError):  # there is a second mistake, or the JSON is too deep
        place = _short(where) or "the file"
        return SpecError(f"{path}: {place}: {_short(problem)}", expected="complete JSON")
    value = _value_at(content, where)
    place = f"{path}: {where}: " if where else f"{path}: "
    if key := re.fullmatch(r"(?s)Object contains unknown field `(.*)`", problem):
        known = sorted(_fields(kind, where, value))
        return SpecError(
            f"{place}unknown key {_shown(key[1])}",
            expected=f"only {', '.join(known)}",
            hint=closest(key[1], known),
        )
    if key := re.fullmatch(r"(?s)Object missing required field `(.*)`", problem):
        return SpecError(
            f"{place}the key '{key[1]}' is missing", expected=_choices(kind, where, value, key[1])
        )
    if problem.startswith("Invalid"):
        parent, _, key_name = where.rpartition(".")
        choices = _choices(kind, parent, _value_at(content, parent), key_name)
        return SpecError(
            f"{place}found {_shown(value)}",
            expected=choices,
            hint=closest(str(value), choices.split(", ")),
        )
    expected = re.sub(r", got .*", "", problem).removeprefix("Expected ")
    expected = re.sub(r"`(\w+)`", lambda match: _KINDS.get(match[1], match[1]), expected)
    if "matching regex" in expected:
        expected = (
            "a name: up to 64 lower-case letters, digits, '.', '_' and '-', beginning with a letter"
            " or digit"
        )
    return SpecError(f"{place}found {_shown(value)}", expected=_short(expected))


def _value_at(value: Any, where: str) -> Any:
    """The value at a JSON path, for example "layers[2].units"."""
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", where):
        value = value[key] if key else value[int(index)]
    return value


def _fields(kind: type, where: str, value: Any) -> dict[str, Any]:
    """The keys that the object at a path may have, with their types."""
    tag = value.get("type") if isinstance(value, dict) else None
    if isinstance(tag, str) and tag in _TAGS:
        return {"type": str, **typing.get_type_hints(_TAGS[tag])}
    return typing.get_type_hints(_PARTS.get(re.split(r"[.\[]", where)[0], kind))


def _choices(kind: type, where: str, value: Any, key: str) -> str:
    """The values that a key may have, joined by ", "; "" if it may have any value of a type."""
    if key == "type":
        union = model.Optimizer if where.startswith("optimizer") else model.Layer
        return ", ".join(str(record.__struct_config__.tag) for record in typing.get_args(union))
    annotation = _fields(kind, where, value).get(key)
    choices = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()
    return ", ".join(map(str, choices))


def _shown(value: Any) -> str:
    """A value as JSON, shortened to fit an error message."""
    return _short(json.dumps(value, ensure_ascii=False))


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} ..."
