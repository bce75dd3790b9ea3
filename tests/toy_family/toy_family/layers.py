"""The workload's layers; a real family builds them with its framework."""

from __future__ import annotations

from backends.reference.functions import loss_and_gradient
from backends.reference.layers import ReferenceLayer, build_layers

__all__ = ["ReferenceLayer", "build_layers", "loss_and_gradient"]
