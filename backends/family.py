"""What a family of backends tells the registry: its environments, its backends, and what they do not do.

A family is a package with the adapters of one framework; its `family.py` holds a `FAMILY`. Imports
no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from msgspec import Struct, field

# The environment that the bench itself runs in; nothing to install.
OWN_ENVIRONMENT = "bench"
# What our own code needs inside a worker, whatever the framework.
WORKER_REQUIREMENTS = ("msgspec==0.22.0",)
# On a machine with an NVIDIA GPU also what its energy is read with; without it a worker says so,
# and has no figure.
WORKER_CUDA_REQUIREMENTS = ("nvidia-ml-py==13.615.71",)


class Environment(Struct, frozen=True, kw_only=True):
    """One virtual environment, whose packages can live together.

    Attributes:
        engine: what measures the limits of its framework, as "module:Class", see `backends.engine`.
        requirements: pip requirements, pinned; the only place where a framework's version stands.
        cuda_requirements: the same where the machine has an NVIDIA GPU; None: the same ones.
        versions: packages whose versions decide a measurement, the framework's own first.
        variables: environment variables of every worker that runs in it.
        say_size: pip may fetch GPU builds of several GB here, so the size is asked for and said
            before.
    """

    engine: str
    requirements: tuple[str, ...]
    versions: tuple[str, ...]
    cuda_requirements: tuple[str, ...] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    say_size: bool = False

    def packages(self, *, cuda: bool) -> tuple[str, ...]:
        """All pip requirements, those of our own code among them; of the builds for NVIDIA GPUs, if `cuda`."""
        if not cuda:
            return (*self.requirements, *WORKER_REQUIREMENTS)
        own = self.requirements if self.cuda_requirements is None else self.cuda_requirements
        return (*own, *WORKER_CUDA_REQUIREMENTS, *WORKER_REQUIREMENTS)


class Entry(Struct, frozen=True, kw_only=True):
    """One backend.

    Attributes:
        title: what it is, in some words.
        adapter, native: "module:Class" of the adapter, and of the one of its native mode, None
            where it has none.
        environment: the name of the one that it runs in.
        needs: packages without which it cannot start, alternatives joined by "|".
        variables: environment variables of its workers, besides those of its environment.
        compiled: whether the framework's compiler is on.
        default: whether a run that names no backends takes it.
        variant_of: the plain backend whose framework it shows at its best; a run takes it with
            `--tuned`.
        changes: how it does so, in Markdown.
    """

    title: str
    adapter: str
    environment: str
    needs: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=dict)
    native: str | None = None
    compiled: bool = False
    default: bool = True
    variant_of: str | None = None
    changes: str = ""


class Gap(Struct, frozen=True, kw_only=True):
    """Why a backend lacks a feature: the framework never will have it, or this adapter does not yet."""

    kind: Literal["never", "not yet"]
    reason: str


# Feature -> what it changes in a job. A gap that is listed and works all the same is an error, too.
FEATURES: Mapping[str, Mapping[str, Any]] = MappingProxyType(
    {
        "TF32": {"precision": "tf32"},
        "bfloat16": {"precision": "bfloat16"},
        "deterministic": {"deterministic": True},
        "native mode": {"mode": "native"},
    }
)
BFLOAT16 = Gap(
    kind="not yet",
    reason="mixed precision has no place in the language yet, and the proof is of float32",
)


class Family(Struct, frozen=True, kw_only=True):
    """A family of backends; every mapping is by the name of an environment or of a backend.

    Attributes:
        environments: those that it brings; its backends may run in another family's.
        backends: see `Entry`.
        gaps: of a backend, by feature. A variant has its plain backend's, and no native mode.
        untuned: why a backend has no tuned variant; what does not gain is told, so that nobody need
            try again.
        terms: "module:NAME" of a mapping backend -> its stands, see `backends.terms`; "" where
            there is no framework.
    """

    backends: Mapping[str, Entry]
    environments: Mapping[str, Environment] = field(default_factory=dict)
    gaps: Mapping[str, Mapping[str, Gap]] = field(default_factory=dict)
    untuned: Mapping[str, str] = field(default_factory=dict)
    terms: str = ""
