"""Where it stands on the terms of `backends.terms`: its default, and what the adapter does."""

from __future__ import annotations

from backends.terms import KEPT, NUMPY, ORDER, Stand

BACKENDS = {
    "toy": (
        Stand("kernel initializer", None, NUMPY),
        Stand("relu's derivative at 0", 0.0, KEPT),
        Stand("shuffling", None, ORDER),
    )
}
