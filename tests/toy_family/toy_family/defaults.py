"""Where it defaults on the terms of `backends.defaults`: its default, and what the adapter does."""

from __future__ import annotations

from backends.defaults import KEPT, NUMPY, ORDER, Default

BACKENDS = {
    "toy": (
        Default("kernel initializer", None, NUMPY),
        Default("relu's derivative at 0", 0.0, KEPT),
        Default("shuffling", None, ORDER),
    )
}
