"""The optimizers of `specs.model`; a real family implements those that its framework lacks."""

from __future__ import annotations

from backends.reference.updates import Update, build_update

__all__ = ["Update", "build_update"]
