"""What a backend does not do, and why: every gap is listed here, and a listed gap that works is an error too."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from msgspec import Struct

from backends.registry import BACKENDS


class Gap(Struct, frozen=True, kw_only=True):
    """Why not: the framework never will, or this adapter does not yet."""

    kind: Literal["never", "not yet"]
    reason: str


# Feature -> what it changes in a job.
FEATURES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "TF32": {"precision": "tf32"},
        "bfloat16": {"precision": "bfloat16"},
        "deterministic": {"deterministic": True},
        "native mode": {"mode": "native"},
    }
)

_BFLOAT16 = Gap(kind="not yet", reason="mixed precision has no place in the language yet, and the proof is of float32")
_NO_OWN = Gap(
    kind="never",
    reason="JAX has no layers, initializers, optimizers or input pipeline of its own to take defaults from",
)

# Backends without a tuned variant, and why; what does not gain is told, so that nobody need try again.
UNTUNED: Mapping[str, str] = MappingProxyType(
    {
        "jax": "an epoch is one compiled `scan` already, which is what JAX's documentation asks for",
        "keras-torch": "Keras refuses `steps_per_execution` there, and `jit_compile=True` gained next to nothing: on a"
        " CPU core an epoch of mnist-5k took 0.9 of the CPU time with the MLP and 1.1 to 1.6 with softmax, after more"
        " than a minute of compiling",
    }
)


def _plain_has_native(plain: str) -> Gap:
    return Gap(kind="never", reason=f"the framework's tutorials train without this: `{plain}` has that mode")


GAPS: Mapping[str, Mapping[str, Gap]] = MappingProxyType(
    {
        **{
            name: {"bfloat16": _BFLOAT16, "native mode": _plain_has_native(backend.variant_of)}
            for name, backend in BACKENDS.items()
            if backend.variant_of
        },
        "keras-tensorflow": {"bfloat16": _BFLOAT16},
        "keras-jax": {"bfloat16": _BFLOAT16},
        "keras-torch": {"bfloat16": _BFLOAT16},
        "tensorflow": {"bfloat16": _BFLOAT16},
        "jax": {"bfloat16": _BFLOAT16, "native mode": _NO_OWN},
        "pytorch": {"bfloat16": _BFLOAT16},
    }
)
