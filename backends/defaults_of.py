"""Finds the defaults of any backend of the registry, in the order of `SETTINGS`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from msgspec.structs import replace

from backends.defaults import SETTINGS, Default
from backends.registry import BACKENDS, DEFAULTS_OF, FamilyError


def defaults_of(backend: str) -> tuple[Default, ...]:
    """A backend's defaults in the order of `SETTINGS`; empty if its family lists none for it.

    A variant has the defaults of its plain backend, except for the compiler, which is described by
    the variant's own entry.

    Raises:
        FamilyError: its family lists a default for a setting that is not in `SETTINGS`.
    """
    entry = BACKENDS[backend]
    plain = entry.variant_of or backend
    positions = {setting.name: position for position, setting in enumerate(SETTINGS)}
    defaults_of = DEFAULTS_OF[plain]
    name = plain.partition("@")[0]  # those of another version may differ
    listed = _defaults_in(defaults_of).get(name, ()) if defaults_of else ()
    if unknown := [default.setting for default in listed if default.setting not in positions]:
        raise FamilyError(
            f"'{plain}' lists defaults of unknown settings: {', '.join(unknown)}",
            expected="names of `backends.defaults.SETTINGS`",
        )
    defaults = sorted(listed, key=lambda default: positions[default.setting])
    if entry.variant_of:
        compiler = f"{'on' if entry.compiled else 'off'}; {entry.changes}"
        defaults = [
            replace(default, ours=compiler) if default.setting == "compiler" else default
            for default in defaults
        ]
    return tuple(defaults)


def _defaults_in(name: str) -> Mapping[str, tuple[Default, ...]]:
    """The mapping from backends to defaults at "module:NAME"."""
    module, _, variable = name.partition(":")
    defaults: Mapping[str, tuple[Default, ...]] = getattr(importlib.import_module(module), variable)
    return defaults
