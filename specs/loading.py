"""Reads workloads and suites from JSON files.

A wrong file raises a `SpecError` with the file, the JSON path, the value found and the values
expected.
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
# The decoder's words for kinds of values -> plain words.
_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "str": "text",
    "array": "a list",
    "object": "an object",
}
_LONGEST_VALUE = 60  # characters of a wrong value that an error shows: it must fit a terminal line


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
    """The workload of that name, or in that file if the name ends in `.json`."""
    return load_workload(_find(name, WORKLOADS, "workload"))


def find_suite(name: str) -> model.Suite:
    """The suite of that name, or in that file if the name ends in `.json`."""
    return load_suite(_find(name, SUITES, "suite"))


def names(folder: Path) -> list[str]:
    """The names of the workloads or suites in a folder, sorted."""
    return sorted(path.stem for path in folder.glob("*.json"))


def schema() -> dict[str, Any]:
    """The JSON Schema of a workload file, made from the records that decode the file."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **msgspec.json.schema(model.Workload),
    }


def _find(name: str, folder: Path, kind: str) -> Path:
    if name.endswith(".json"):
        return Path(name)
    known = names(folder)
    if name not in known:
        hint = closest(name, known) or "a file of your own is named by its path, ending in .json"
        raise SpecError(
            f"no {kind} is named {_shown(name)}", expected=f"one of {', '.join(known)}", hint=hint
        )
    return folder / f"{name}.json"


def _load(path: Path, kind: type[_T]) -> _T:
    try:
        text = path.read_bytes().decode("utf-8")
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
        raise _explain(path, text, kind, str(error)) from None
    except (msgspec.DecodeError, RecursionError) as error:
        what = f"not JSON: {_position(text, str(error))}" if text.strip() else "the file is empty"
        raise SpecError(
            f"{path}: {what}", expected=f"one JSON object that describes a {kind.__name__.lower()}"
        ) from None


def _position(text: str, message: str) -> str:
    """The decoder's message, with line and column instead of the byte offset."""
    found = re.search(r" \(byte (\d+)\)", message)
    if not found:
        return message
    before = text.encode()[: int(found[1])].decode(errors="replace")
    line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
    return f"{message[: found.start()]} at line {line}, column {column}"


def _explain(path: Path, text: str, kind: type, message: str) -> SpecError:
    """The error for a decoder's message: the value found, the possible values and a guess."""
    what, _, where = message.partition(" - at `$")
    where = where.rstrip("`").removeprefix(".")
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):  # a second mistake, or too deep or too long to show
        return SpecError(f"{path}: {where or 'the file'}: {what}", expected="JSON that is whole")
    found = _value_at(whole, where)
    place = f"{path}: {where}: " if where else f"{path}: "
    if key := re.fullmatch(r"Object contains unknown field `(.*)`", what):
        known = sorted(_fields(kind, where, found))
        return SpecError(
            f"{place}unknown key {_shown(key[1])}",
            expected=f"only {', '.join(known)}",
            hint=closest(key[1], known),
        )
    if key := re.fullmatch(r"Object missing required field `(.*)`", what):
        return SpecError(
            f"{place}the key '{key[1]}' is missing", expected=_choices(kind, where, found, key[1])
        )
    if what.startswith("Invalid"):
        parent, _, key_name = where.rpartition(".")
        choices = _choices(kind, parent, _value_at(whole, parent), key_name)
        return SpecError(
            f"{place}found {_shown(found)}",
            expected=choices,
            hint=closest(str(found), choices.split(", ")),
        )
    expected = re.sub(r", got .*", "", what).removeprefix("Expected ")
    expected = re.sub(r"`(\w+)`", lambda kind: _KINDS.get(kind[1], kind[1]), expected)
    if "matching regex" in expected:
        expected = (
            "a name: up to 64 lower-case letters, digits, '.', '_' and '-', beginning with a letter"
            " or digit"
        )
    return SpecError(f"{place}found {_shown(found)}", expected=expected)


def _value_at(value: Any, where: str) -> Any:
    for key, index in re.findall(r"([^.\[\]]+)|\[(\d+|\.\.\.)\]", where):
        value = value[key] if key else value[int(index)]
    return value


def _fields(kind: type, where: str, found: Any) -> dict[str, Any]:
    """The keys, with their types, that the object at a path may have."""
    if isinstance(found, dict) and found.get("type") in _TAGS:
        return {"type": str, **typing.get_type_hints(_TAGS[found["type"]])}
    return typing.get_type_hints(_PARTS.get(re.split(r"[.\[]", where)[0], kind))


def _choices(kind: type, where: str, found: Any, key: str) -> str:
    """The values that a key may have, joined by ", "; "" if they are not a short list."""
    if key == "type":
        union = model.Optimizer if where.startswith("optimizer") else model.Layer
        return ", ".join(str(record.__struct_config__.tag) for record in typing.get_args(union))
    annotation = _fields(kind, where, found).get(key)
    choices = typing.get_args(annotation) if typing.get_origin(annotation) is typing.Literal else ()
    return ", ".join(map(str, choices))


def _shown(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]} ..."
