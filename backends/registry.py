"""The registry of all backends and environments, of the bench and of other installed packages.

A package outside this clone registers its family by an entry point of the group
`framework_bench.families`, as "module:FAMILY". This module imports no framework.
"""

from __future__ import annotations

import importlib
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec.structs import replace

from backends.family import (
    FEATURE_OF_PRECISION,
    OWN_ENVIRONMENT,
    Entry,
    Environment,
    Family,
    Gap,
)
from specs.errors import UserError, closest

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

    from specs.model import Workload

# The folders of the bench's own families; backends are listed in this order.
_OUR_FAMILIES = (
    *("keras", "pytorch", "tensorflow", "jax", "sklearn", "spark"),
    *("mxnet", "chainer", "theano", "cntk", "caffe", "exports", "reference"),
)
# What a command installs and runs if the user names no backends.
DEFAULT_BACKENDS = (
    "keras-tensorflow",
    "keras-jax",
    "keras-torch",
    "pytorch",
    "pytorch-compiled",
    "tensorflow",
    "jax",
    "scikit-learn",
)
_Row = TypeVar("_Row")
_GROUP = "framework_bench.families"
_OUR_PACKAGES = ("backends", "bench", "specs")  # every worker can import them


class UnknownBackendError(UserError):
    """No backend has this name, or the backend does not have this mode."""


class FamilyError(UserError):
    """A family of another package is not valid, or conflicts with other families."""


class UnknownScriptError(UserError):
    """No family writes scripts under this name."""


def package_of(name: str) -> str:
    """The folder of the package that contains "module:Class"; "" for the bench's own packages.

    Raises:
        UnknownBackendError: there is no such package.
    """
    package = name.partition(":")[0].partition(".")[0]
    if package in _OUR_PACKAGES:
        return ""
    from importlib.util import find_spec  # here, as only other packages need it

    spec = find_spec(package)  # imports nothing, as the name has no parent package
    if spec is None or spec.origin is None or not spec.submodule_search_locations:
        raise UnknownBackendError(
            f"{name}: '{package}' is not a package",
            expected="an installed package with __init__.py",
        )
    return str(Path(next(iter(spec.submodule_search_locations))))


def _load() -> tuple[list[Family], list[str]]:
    """All families, the bench's own first, and a message for each family that is left out."""
    families: list[Family] = [
        importlib.import_module(f"backends.{name}.family").FAMILY for name in _OUR_FAMILIES
    ]
    left_out = []
    for point in sorted(_registered(), key=lambda point: point.value):
        try:
            family = point.load()
            _check(family, families)
            families.append(family)
        # Another package may raise anything, and the bench's own backends must still work.
        except (Exception, SystemExit) as error:  # noqa: BLE001 - see above
            left_out.append(
                f"the family '{point.name}' ({point.value}) is left out: {type(error).__name__}:"
                f" {error}"
            )
    return families, left_out


def _registered() -> list[EntryPoint]:
    """The entry points of the group `framework_bench.families`.

    `importlib.metadata` takes 0.1 s, so it is only used if the file of some package names the
    group.
    """
    folders = [Path(folder) for folder in sys.path if folder]
    files = [file for folder in folders for file in folder.glob("*.*-info/entry_points.txt")]
    if not any(_GROUP in file.read_text(encoding="utf-8", errors="replace") for file in files):
        return []
    from importlib.metadata import entry_points

    return list(entry_points(group=_GROUP))


def _check(family: Any, families: list[Family]) -> None:
    """Check a family of another package against the families so far.

    Raises:
        FamilyError: it is not a `Family`, uses a name that is already taken, or refers to a name
            that does not exist.
        UnknownBackendError: the package of an adapter or of an engine is not installed.
    """
    if not isinstance(family, Family):
        raise FamilyError(f"it is a {type(family).__name__}", expected="a backends.family.Family")
    environments, backends = _merged(families, "environments"), _merged(families, "backends")
    taken = [
        *(environments.keys() & family.environments.keys()),
        *(backends.keys() & family.backends.keys()),
        *(_merged(families, "scripts").keys() & family.scripts.keys()),
    ]
    if taken:
        raise FamilyError(
            f"names that are taken: {', '.join(sorted(taken))}",
            expected="names that no other family uses",
        )
    unknown = {*_merged([family], "gaps"), *_merged([family], "untuned")} - family.backends.keys()
    if unknown:
        raise FamilyError(f"gaps of backends that it does not have: {', '.join(sorted(unknown))}")
    for row in family.environments.values():
        package_of(row.engine)
    for place in family.scripts.values():
        package_of(place)
    for name, entry in family.backends.items():
        for place in filter(
            None, (entry.adapter, entry.native, entry.parallel, entry.on_nodes, entry.refuses)
        ):
            package_of(place)
        environment, plain = entry.environment, entry.variant_of
        if environment not in environments and environment not in family.environments:
            raise FamilyError(f"the backend '{name}' names an unknown environment, '{environment}'")
        if plain and plain not in backends and plain not in family.backends:
            raise FamilyError(f"the backend '{name}' is a variant of an unknown one, '{plain}'")


def _merged(families: list[Family], attribute: str) -> dict[str, Any]:
    """The mappings with this name of all families, merged."""
    return {name: row for family in families for name, row in getattr(family, attribute).items()}


def _entries(families: list[Family]) -> Mapping[str, Entry]:
    """All backends by name, each with the variables of its environment added."""
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
    """The gaps of every backend.

    A variant has its plain backend's gaps. Variants and retired frameworks have no native mode.
    """
    gaps: dict[str, Mapping[str, Gap]] = _merged(families, "gaps")
    for name, entry in _merged(families, "backends").items():
        if entry.retired is not None:
            reason = f"its tutorials are as old as its last release, of {entry.retired}"
            retired = {"native mode": Gap(kind="never", reason=reason)}
            gaps[name] = {**retired, **gaps.get(name, {})}
        if plain := entry.variant_of:
            reason = f"tutorials train without this variant: use `{plain}` for native mode"
            gaps[name] = {
                "native mode": Gap(kind="never", reason=reason),
                **gaps.get(plain, {}),
                **gaps.get(name, {}),
            }
    return MappingProxyType(gaps)


class _WithVersions(Mapping[str, _Row]):
    """Rows by name, and the row of "NAME@VERSION", which follows from that of "NAME".

    Only plain names are listed and counted.

    Args:
        rows: by plain name.
        derive: returns the row of a version: of a plain name's row, and the version.
    """

    def __init__(self, rows: Mapping[str, _Row], derive: Callable[[_Row, str], _Row]) -> None:
        self._rows, self._derive = dict(rows), derive

    def __getitem__(self, name: str) -> _Row:
        plain, at, version = name.partition("@")
        if at and not _VERSION.fullmatch(version):
            raise KeyError(name)
        return self._derive(self._rows[plain], version) if at else self._rows[plain]

    def __iter__(self) -> Iterator[str]:
        return iter(self._rows)

    def __len__(self) -> int:
        return len(self._rows)


def _same(row: _Row, _version: str) -> _Row:
    return row


def _entry_of_version(row: Entry, version: str) -> Entry:
    """A backend with another version of its framework, in an environment of its own."""
    if row.environment == OWN_ENVIRONMENT:
        raise KeyError(version)
    package = row.framework or row.needs[0].split("|")[-1]
    return replace(
        row,
        title=f"{row.title}, {package} {version}",
        environment=f"{row.environment}@{package}-{version}",
        variant_of=row.variant_of and f"{row.variant_of}@{version}",
    )


def _environment_of_version(row: Environment, version: str) -> Environment:
    """An environment with another version of a package: "torch-2.12.0"."""
    for package in row.versions:
        if version.startswith(f"{package}-"):
            return row.with_version(package, version.removeprefix(f"{package}-"))
    raise KeyError(version)


_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,63}")
_ALL, LEFT_OUT = _load()
BACKENDS: Mapping[str, Entry] = _WithVersions(_entries(_ALL), _entry_of_version)
# The environments that can be created: all except the bench's own.
ENVIRONMENTS: Mapping[str, Environment] = _WithVersions(
    {name: row for name, row in _merged(_ALL, "environments").items() if name != OWN_ENVIRONMENT},
    _environment_of_version,
)
# The variants that answer a question, see `Entry.experiment`.
EXPERIMENTS = tuple(name for name, row in BACKENDS.items() if row.experiment)
# The engine of each environment, as "module:Class", see `backends.engine`.
ENGINES: Mapping[str, str] = _WithVersions(
    {name: row.engine for name, row in _merged(_ALL, "environments").items()}, _same
)
GAPS: Mapping[str, Mapping[str, Gap]] = _WithVersions(_gaps(_ALL), _same)
UNTUNED: Mapping[str, str] = _WithVersions(
    {
        **{
            name: f"it is retired: its last release is of {entry.retired}"
            for name, entry in _merged(_ALL, "backends").items()
            if entry.retired is not None
        },
        **_merged(_ALL, "untuned"),
    },
    _same,
)
# Backend -> the place of its defaults, as "module:NAME" or ""; `backends.defaults_of` reads it.
DEFAULTS_OF: Mapping[str, str] = _WithVersions(
    {name: family.defaults for family in _ALL for name in family.backends}, _same
)
# Name after `bench show NAME --as` -> the generator of scripts, as "module:function".
SCRIPTS: Mapping[str, str] = MappingProxyType(_merged(_ALL, "scripts"))


def entry(backend: str) -> Entry:
    """The entry of a backend: "pytorch", or "pytorch@2.12.0" for a version of its framework.

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


def adapter_of(backend: str, mode: str, ranks: int = 1, nodes: int = 1) -> str:
    """The adapter of a backend in a mode ("matched" or "native"), as "module:Class".

    Raises:
        UnknownBackendError: there is no such backend, it has no native mode, or cannot train on
            so many ranks on so many nodes.
    """
    chosen = entry(backend)
    if ranks > 1:
        adapter = chosen.on_nodes if nodes > 1 else chosen.parallel
        if adapter is None or mode != "matched":
            where = f"{ranks} ranks" + (f" on {nodes} nodes" if nodes > 1 else "")
            raise UnknownBackendError(f"'{backend}' does not train on {where} in {mode} mode")
        return adapter
    if mode == "matched":
        return chosen.adapter
    if chosen.native is None:
        with_native = ", ".join(name for name, other in BACKENDS.items() if other.native)
        raise UnknownBackendError(
            f"the backend '{backend}' has no native mode", expected=f"one of {with_native}"
        )
    return chosen.native


def refusal(backend: str, workload: Workload) -> str:
    """Why a backend's framework cannot have the workload's model; "" if it can.

    Raises:
        UnknownBackendError: there is no such backend.
    """
    module, _, function = entry(backend).refuses.partition(":")
    if not module:
        return ""
    from backends.contract import Unsupported  # imports NumPy

    try:
        getattr(importlib.import_module(module), function)(workload)
    except Unsupported as reason:
        return str(reason)
    return ""


def lack(backend: str, *, on_gpu: bool, precision: str) -> str:
    """Why a backend's framework has no code at all for a device or a precision; "" if it has.

    Args:
        backend: its name.
        on_gpu: whether the device is a GPU.
        precision: see `backends.contract.Job`.

    Raises:
        UnknownBackendError: there is no such backend.
    """
    environment = ENVIRONMENTS.get(entry(backend).environment)
    if on_gpu and (environment is None or not environment.cuda):
        return "it trains on CPUs only"
    gap = GAPS.get(backend, {}).get(FEATURE_OF_PRECISION.get(precision, ""))
    return gap.reason if gap else ""


def script(name: str, workload: Workload) -> str:
    """A workload as a script.

    Args:
        name: what is after `bench show WORKLOAD --as`.
        workload: the workload.

    Raises:
        UnknownScriptError: no family writes scripts under this name.
        Unsupported: there is no script of this workload.
    """
    if name not in SCRIPTS:
        known = [*SCRIPTS]
        raise UnknownScriptError(
            f"no scripts are written as '{name}'",
            expected=f"one of {', '.join(known)}",
            hint=closest(name, known),
        )
    module, _, function = SCRIPTS[name].partition(":")
    return str(getattr(importlib.import_module(module), function)(workload))
