"""What a backend does not do, and why: every gap is listed here, and a listed gap that works is an error too."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from msgspec import Struct

from specs.proof import FEW, MODELS


class Gap(Struct, frozen=True, kw_only=True):
    """Why not: the framework never will, this adapter does not yet, or it may and was not proven."""

    kind: Literal["never", "not yet", "not proven"]
    reason: str


# Feature -> what it changes in a job, besides the models of the proof, which are features too.
FEATURES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "TF32": {"precision": "tf32"},
        "bfloat16": {"precision": "bfloat16"},
        "deterministic": {"deterministic": True},
        "native mode": {"mode": "native"},
    }
)

_BFLOAT16 = Gap(kind="not yet", reason="mixed precision has no place in the language yet, and the proof is of float32")
_SLOW = Gap(kind="not proven", reason="compiling takes a minute per model; what runs is `pytorch` and one line")
_NO_OWN = Gap(
    kind="never",
    reason="JAX has no layers, initializers, optimizers or input pipeline of its own to take defaults from",
)

GAPS: Mapping[str, Mapping[str, Gap]] = MappingProxyType(
    {
        "keras-tensorflow": {"bfloat16": _BFLOAT16},
        "keras-jax": {"bfloat16": _BFLOAT16},
        "keras-torch": {"bfloat16": _BFLOAT16},
        "tensorflow": {"bfloat16": _BFLOAT16},
        "jax": {"bfloat16": _BFLOAT16, "native mode": _NO_OWN},
        "pytorch": {"bfloat16": _BFLOAT16},
        "pytorch-compiled": {
            "bfloat16": _BFLOAT16,
            "native mode": Gap(kind="never", reason="PyTorch's tutorials train eagerly: `pytorch` has that mode"),
            **{name: _SLOW for name in MODELS if name not in FEW},
        },
    }
)
