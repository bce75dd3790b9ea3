"""Where every backend of the registry stands on the terms of `backends.terms`."""

from __future__ import annotations

import importlib
from collections.abc import Mapping

from msgspec.structs import replace

from backends.registry import BACKENDS, TERMS_FILES
from backends.terms import TERMS, Stand


def terms_of(backend: str) -> tuple[Stand, ...]:
    """Where a backend stands, in the order of `TERMS`, on those that its family tells of.

    A variant stands where its plain backend does, but for the compiler, which its row knows.

    Raises:
        KeyError: no family tells where it stands (as of the reference), or one names another term.
    """
    variant = BACKENDS[backend]
    plain = variant.variant_of or backend
    known: Mapping[str, tuple[Stand, ...]] = next(
        (stands for stands in map(_stands_in, TERMS_FILES) if plain in stands), {}
    )
    places = {term.name: place for place, term in enumerate(TERMS)}
    stands = sorted(known[plain], key=lambda stand: places[stand.term])
    if variant.variant_of:
        tuned = f"{'on' if variant.compiled else 'off'}; {variant.changes}"
        stands = [replace(s, enforced=tuned) if s.term == "compiler" else s for s in stands]
    return tuple(stands)


def _stands_in(name: str) -> Mapping[str, tuple[Stand, ...]]:
    module, _, variable = name.partition(":")
    stands: Mapping[str, tuple[Stand, ...]] = getattr(importlib.import_module(module), variable)
    return stands
