"""The defaults and settings of every backend of the registry, in the order of `SETTINGS`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from msgspec.structs import replace

from backends.defaults import SETTINGS, Default
from backends.registry import BACKENDS, DEFAULTS_OF, FamilyError


def defaults_of(backend: str) -> tuple[Default, ...]:
    """A backend's defaults in the order of `SETTINGS`; empty if its family has none for it.

    A variant has the defaults of its plain backend, except for the compiler: its own entry says
    whether that is on.

    Raises:
        FamilyError: its family has a default on a term that is not in `SETTINGS`.
    """
    variant = BACKENDS[backend]
    plain = variant.variant_of or backend
    places = {setting.name: place for place, setting in enumerate(SETTINGS)}
    own = _defaults_in(DEFAULTS_OF[plain]).get(plain, ()) if DEFAULTS_OF[plain] else ()
    if unknown := [default.setting for default in own if default.setting not in places]:
        raise FamilyError(f"'{plain}' defaults on no term of ours: {', '.join(unknown)}")
    defaults = sorted(own, key=lambda default: places[default.setting])
    if variant.variant_of:
        tuned = f"{'on' if variant.compiled else 'off'}; {variant.changes}"
        defaults = [replace(s, ours=tuned) if s.setting == "compiler" else s for s in defaults]
    return tuple(defaults)


def _defaults_in(name: str) -> Mapping[str, tuple[Default, ...]]:
    module, _, variable = name.partition(":")
    defaults: Mapping[str, tuple[Default, ...]] = getattr(importlib.import_module(module), variable)
    return defaults
