"""Finds the defaults of any backend of the registry, in the order of `SETTINGS`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from msgspec.structs import replace

from backends.defaults import SETTINGS, Default
from backends.registry import BACKENDS, DEFAULTS_OF, FamilyError


def defaults_of(backend: str) -> tuple[Default, ...]:
    """A backend's defaults in the order of `SETTINGS`; empty if its family lists none for it.

    A variant has the defaults of the backend that it is a variant of, except for the compiler,
    which is described by the variant's own entry.

    Raises:
        FamilyError: its family lists a default for a setting that is not in `SETTINGS`.
    """
    entry = BACKENDS[backend]
    if entry.variant_of:
        compiler = f"{'on' if entry.compiled else 'off'}; {entry.changes}"
        return tuple(
            replace(default, ours=compiler) if default.setting == "compiler" else default
            for default in defaults_of(entry.variant_of)
        )
    positions = {setting.name: position for position, setting in enumerate(SETTINGS)}
    place = DEFAULTS_OF[backend]
    name = backend.partition("@")[0]  # those of another version may differ
    listed = _defaults_in(place).get(name, ()) if place else ()
    if unknown := [default.setting for default in listed if default.setting not in positions]:
        raise FamilyError(
            f"'{backend}' lists defaults of unknown settings: {', '.join(unknown)}",
            expected="names of `backends.defaults.SETTINGS`",
        )
    return tuple(sorted(listed, key=lambda default: positions[default.setting]))


def _defaults_in(name: str) -> Mapping[str, tuple[Default, ...]]:
    """The mapping from backends to defaults at "module:NAME"."""
    module, _, variable = name.partition(":")
    defaults: Mapping[str, tuple[Default, ...]] = getattr(importlib.import_module(module), variable)
    return defaults
