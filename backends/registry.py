"""All backends and their environments: those of our families and those of installed packages.

A package outside this clone registers its family by an entry point of the group
`framework_bench.families`, as "module:FAMILY". This module imports no framework.
"""

from __future__ import annotations

import importlib
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

# The folders of our families; backends are listed in this order.
_OUR_FAMILIES = ("keras", "pytorch", "tensorflow", "jax", "reference")
_GROUP = "framework_bench.families"
_OUR_PACKAGES = ("backends", "bench", "specs")  # every worker finds them


class UnknownBackendError(UserError):
    """No backend has this name, or the backend does not have this mode."""


class FamilyError(UserError):
    """A family of another package is not valid, or conflicts with other families."""


def package_of(name: str) -> str:
    """The folder of the package in which "module:Class" is; "" for our own packages.

    Every worker finds our own packages by itself.

    Raises:
        UnknownBackendError: there is no such package.
    """
    package = name.partition(":")[0].partition(".")[0]
    if package in _OUR_PACKAGES:
        return ""
    from importlib.util import find_spec  # our own packages do not need it

    spec = find_spec(package)  # imports nothing, as the name has no parent package
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise UnknownBackendError(
            f"{name}: '{package}' is no package", expected="an installed package with __init__.py"
        )
    return str(Path(next(iter(spec.submodule_search_locations))))


def _load() -> tuple[list[Family], list[str]]:
    """All families, ours first, and messages about families of other packages.

    One message, with the reason, for each family that is left out.
    """
    families: list[Family] = [
        importlib.import_module(f"backends.{name}.family").FAMILY for name in _OUR_FAMILIES
    ]
    left_out = []
    for point in sorted(_registered(), key=lambda point: point.value):
        try:
            found = point.load()
            _check(found, families)
            families.append(found)
        # Whatever another package raises, our own backends must work.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see above
            left_out.append(
                f"the family '{point.name}' ({point.value}) is left out: {type(error).__name__}:"
                f" {error}"
            )
    return families, left_out


def _registered() -> list[EntryPoint]:
    """The entry points of our group.

    Python's own reader takes 0.1 s, so it is called only if some package's file names the group.
    """
    folders = [Path(folder) for folder in sys.path if folder]
    files = [file for folder in folders for file in folder.glob("*.*-info/entry_points.txt")]
    if not any(_GROUP in file.read_text(encoding="utf-8", errors="replace") for file in files):
        return []
    from importlib.metadata import entry_points

    return list(entry_points(group=_GROUP))


def _check(found: Any, families: list[Family]) -> None:
    """Check the family of another package.

    Raises:
        FamilyError: it is not a `Family`, uses a name that is already taken, or refers to a name
            that does not exist.
        UnknownBackendError: an adapter or an engine is in no installed package.
    """
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
    strange = {*_merged([found], "gaps"), *_merged([found], "untuned")} - found.backends.keys()
    if strange:
        raise FamilyError(f"gaps of backends that it does not have: {', '.join(sorted(strange))}")
    for row in found.environments.values():
        package_of(row.engine)
    for name, entry in found.backends.items():
        for adapter in filter(None, (entry.adapter, entry.native)):
            package_of(adapter)
        environment, plain = entry.environment, entry.variant_of
        if environment not in environments and environment not in found.environments:
            raise FamilyError(f"the backend '{name}' names an unknown environment, '{environment}'")
        if plain and plain not in backends and plain not in found.backends:
            raise FamilyError(f"the backend '{name}' is a variant of an unknown one, '{plain}'")


def _merged(families: list[Family], what: str) -> dict[str, Any]:
    return {name: row for family in families for name, row in getattr(family, what).items()}


def _entries(families: list[Family]) -> Mapping[str, Entry]:
    """All backends by name; the variables of its environment are added to each."""
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
    """The gaps of every backend; a variant has its plain backend's gaps, and no native mode."""
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
# The environments that can be created: all but the bench's own.
ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {name: row for name, row in _merged(_ALL, "environments").items() if name != OWN_ENVIRONMENT}
)
# The engine of each environment, as "module:Class", see `backends.engine`.
ENGINES: Mapping[str, str] = MappingProxyType(
    {name: row.engine for name, row in _merged(_ALL, "environments").items()}
)
GAPS = _gaps(_ALL)
UNTUNED: Mapping[str, str] = MappingProxyType(_merged(_ALL, "untuned"))
# Backend -> where its family tells its defaults, as "module:NAME", or ""; `backends.defaults_of`
# reads it.
DEFAULTS_OF: Mapping[str, str] = MappingProxyType(
    {name: family.defaults for family in _ALL for name in family.backends}
)


def entry(backend: str) -> Entry:
    """The entry of a backend.

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
