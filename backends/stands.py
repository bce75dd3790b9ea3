"""Where every backend of the registry stands on the terms of `backends.terms`."""

from __future__ import annotations

from msgspec.structs import replace

from backends import jax_terms, keras_terms, pytorch_terms, tensorflow_terms
from backends.registry import BACKENDS
from backends.terms import TERMS, Stand

_FAMILIES = (jax_terms, keras_terms, pytorch_terms, tensorflow_terms)


def terms_of(backend: str) -> tuple[Stand, ...]:
    """Where a backend stands, in the order of `TERMS`; Keras's are its own and those of its engine.

    A tuned variant stands where its plain backend does, but for the compiler, which the registry
    knows.

    Raises:
        KeyError: the backend has no framework (as the reference), or a term of it is not in `TERMS`.
    """
    known = {name: stands for family in _FAMILIES for name, stands in family.BACKENDS.items()}
    variant = BACKENDS[backend]
    places = {term.name: place for place, term in enumerate(TERMS)}
    stands = sorted(known[variant.variant_of or backend], key=lambda stand: places[stand.term])
    if variant.variant_of:
        place = places["compiler"]
        tuned = f"{'on' if variant.compiled else 'off'}; {variant.changes}"
        stands[place] = replace(stands[place], enforced=tuned)
    return tuple(stands)
