"""The framework's defaults, and what the adapter does, for the settings in `backends.defaults`."""

from __future__ import annotations

from backends.defaults import KEPT, NUMPY, ORDER, Default

BACKENDS = {
    "toy": (
        Default("kernel initializer", None, NUMPY),
        Default("relu's derivative at 0", 0.0, KEPT),
        Default("shuffling", None, ORDER),
    )
}
