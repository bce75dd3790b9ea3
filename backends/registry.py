"""All backends and their environments: our families' rows, and those of packages that are installed beside us.

A package outside this clone registers its family by an entry point of the group
`framework_bench.families`, as "module:FAMILY". Imports no framework.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from msgspec.structs import replace

from backends.family import OWN_ENVIRONMENT, Entry, Environment, Family, Gap
from specs.errors import UserError, closest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

# A family is a folder, and its name here; backends are listed in this order.
_OUR_FAMILIES = ("keras", "pytorch", "tensorflow", "jax", "reference")
_GROUP = "framework_bench.families"
_OUR_PACKAGES = ("backends", "bench", "specs")  # every worker finds them


class UnknownBackendError(UserError):
    """A name that no backend has, or a mode that a backend does not have."""


class FamilyError(UserError):
    """A family of another package that does not fit to ours."""


def _load() -> tuple[list[Family], list[str]]:
    """All families, ours first; and in a sentence each those of other packages that were left out, and why."""
    families: list[Family] = [
        importlib.import_module(f"backends.{name}.family").FAMILY for name in _OUR_FAMILIES
    ]
    left_out = []
    for point in sorted(_registered(), key=lambda point: point.value):
        try:
            found = point.load()
            _check(found, families)
            families.append(found)
        except Exception as error:  # noqa: BLE001 - whatever another package raises, our own backends work
            left_out.append(
                f"the family '{point.name}' ({point.value}) is left out: {type(error).__name__}:"
                f" {error}"
            )
    return families, left_out


def _registered() -> list[EntryPoint]:
    """The entry points of our group. Python's own reader takes 0.1 s: where no file names the group, it is left alone."""
    folders = [Path(folder) for folder in sys.path if folder]
    files = [file for folder in folders for file in folder.glob("*.*-info/entry_points.txt")]
    if not any(_GROUP in file.read_text(encoding="utf-8", errors="replace") for file in files):
        return []
    from importlib.metadata import entry_points

    return list(entry_points(group=_GROUP))


def _check(found: Any, families: list[Family]) -> None:
    """Raise `FamilyError` where a family of another package is none, or takes or lacks a name."""
    if not isinstance(found, Family):
        raise FamilyError(f"it is a {type(found).__name__}", expected="a backends.family.Family")
    environments, backends = _merged(families, "environments"), _merged(families, "backends")
    taken = [
        *(environments.keys() & found.environments.keys()),
        *(backends.keys() & found.backends.keys()),
    ]
    if taken:
        raise FamilyError(
            f"names that are taken: {', '.join(sorted(taken))}", expected="names of its own"
        )
    for name, entry in found.backends.items():
        if entry.environment not in environments and entry.environment not in found.environments:
            raise FamilyError(
                f"the backend '{name}' names an unknown environment, '{entry.environment}'"
            )
        if (
            entry.variant_of
            and entry.variant_of not in backends
            and entry.variant_of not in found.backends
        ):
            raise FamilyError(
                f"the backend '{name}' is a variant of an unknown one, '{entry.variant_of}'"
            )


def _merged(families: list[Family], what: str) -> dict[str, Any]:
    return {name: row for family in families for name, row in getattr(family, what).items()}


def _entries(families: list[Family]) -> Mapping[str, Entry]:
    """Every backend, its environment's variables among its own."""
    environments = _merged(families, "environments")
    return MappingProxyType(
        {
            name: replace(
                entry, variables={**environments[entry.environment].variables, **entry.variables}
            )
            for name, entry in _merged(families, "backends").items()
        }
    )


def _gaps(families: list[Family]) -> Mapping[str, Mapping[str, Gap]]:
    """The gaps of every backend; a variant has its plain backend's, and no native mode."""
    known: dict[str, Mapping[str, Gap]] = _merged(families, "gaps")
    for name, entry in _merged(families, "backends").items():
        if plain := entry.variant_of:
            reason = f"the framework's tutorials train without this: `{plain}` has that mode"
            known[name] = {
                **known.get(plain, {}),
                "native mode": Gap(kind="never", reason=reason),
                **known.get(name, {}),
            }
    return MappingProxyType(known)


_ALL, LEFT_OUT = _load()
BACKENDS: Mapping[str, Entry] = _entries(_ALL)
# Those that can be made; the bench's own is there.
ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {name: row for name, row in _merged(_ALL, "environments").items() if name != OWN_ENVIRONMENT}
)
# What the engine of each environment reaches by itself, as "module:Class", see `backends.engine`.
ENGINES: Mapping[str, str] = MappingProxyType(
    {name: row.engine for name, row in _merged(_ALL, "environments").items()}
)
GAPS = _gaps(_ALL)
UNTUNED: Mapping[str, str] = MappingProxyType(_merged(_ALL, "untuned"))
# Where backends stand on the terms, see `backends.stands`, as "module:NAME".
TERMS_FILES = tuple(family.terms for family in _ALL if family.terms)


def entry(backend: str) -> Entry:
    """The row of a backend.

    Raises:
        UnknownBackendError: there is no such backend.
    """
    if backend not in BACKENDS:
        known = [*BACKENDS]
        raise UnknownBackendError(
            f"no backend is named '{backend}'",
            expected=f"one of {', '.join(known)}",
            hint=closest(backend, known),
        )
    return BACKENDS[backend]


def adapter_of(backend: str, mode: str) -> str:
    """The adapter of a backend in a mode ("matched" or "native"), as "module:Class".

    Raises:
        UnknownBackendError: there is no such backend, or it has no native mode.
    """
    chosen = entry(backend)
    if mode == "matched":
        return chosen.adapter
    if chosen.native is None:
        others = ", ".join(name for name, other in BACKENDS.items() if other.native)
        raise UnknownBackendError(
            f"the backend '{backend}' has no native mode", expected=f"one of {others}"
        )
    return chosen.native


def package_of(name: str) -> str:
    """The folder of the package of "module:Class"; "" of ours, which every worker finds by itself.

    Raises:
        UnknownBackendError: there is no such package.
    """
    package = name.partition(":")[0].partition(".")[0]
    if package in _OUR_PACKAGES:
        return ""
    spec = importlib.util.find_spec(package)  # imports nothing, as it is no part of another package
    if spec is None or not spec.submodule_search_locations:
        raise UnknownBackendError(f"there is no package '{package}', which {name} is of")
    return str(Path(next(iter(spec.submodule_search_locations))))
