"""The defaults and settings of every backend of the registry, in the order of `TERMS`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from msgspec.structs import replace

from backends.registry import BACKENDS, TERMS_OF, FamilyError
from backends.terms import TERMS, Stand


def terms_of(backend: str) -> tuple[Stand, ...]:
    """A backend's stands in the order of `TERMS`; empty if its family has none for it.

    A variant has the stands of its plain backend, except for the compiler: its own entry says
    whether that is on.

    Raises:
        FamilyError: its family has a stand on a term that is not in `TERMS`.
    """
    variant = BACKENDS[backend]
    plain = variant.variant_of or backend
    places = {term.name: place for place, term in enumerate(TERMS)}
    own = _stands_in(TERMS_OF[plain]).get(plain, ()) if TERMS_OF[plain] else ()
    if unknown := [stand.term for stand in own if stand.term not in places]:
        raise FamilyError(f"'{plain}' stands on no term of ours: {', '.join(unknown)}")
    stands = sorted(own, key=lambda stand: places[stand.term])
    if variant.variant_of:
        tuned = f"{'on' if variant.compiled else 'off'}; {variant.changes}"
        stands = [replace(s, enforced=tuned) if s.term == "compiler" else s for s in stands]
    return tuple(stands)


def _stands_in(name: str) -> Mapping[str, tuple[Stand, ...]]:
    module, _, variable = name.partition(":")
    stands: Mapping[str, tuple[Stand, ...]] = getattr(importlib.import_module(module), variable)
    return stands
