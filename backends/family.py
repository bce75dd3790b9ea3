"""The records by which a family of backends describes itself to the registry.

A family is a package with the adapters of one framework. Its `family.py` defines `FAMILY`: its
environments, its backends, and what they do not support. This module imports no framework.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from msgspec import Struct, field

# The environment in which the bench itself runs; nothing is installed there.
OWN_ENVIRONMENT = "bench"
# What our own code needs inside a worker, whatever the framework is.
WORKER_REQUIREMENTS = ("msgspec==0.22.0",)
# On a machine with an NVIDIA GPU also the package that reads the GPU's energy. Without it a worker
# reports that it is missing, and records no energy.
WORKER_CUDA_REQUIREMENTS = ("nvidia-ml-py==13.615.71",)


class Environment(Struct, frozen=True, kw_only=True):
    """One virtual environment, with packages that can be installed together.

    Attributes:
        engine: the class with which the limits of its framework are measured, as "module:Class",
            see `backends.engine`.
        requirements: pip requirements, pinned. No other place names a framework's version.
        cuda_requirements: those for a machine with an NVIDIA GPU; None: `requirements`.
        versions: packages whose versions decide a measurement, the framework's own first.
        variables: environment variables of every worker that runs in it.
        say_size: whether to print the download size before the installation, as pip may download
            GPU builds of several GB.
    """

    engine: str
    requirements: tuple[str, ...]
    versions: tuple[str, ...]
    cuda_requirements: tuple[str, ...] | None = None
    variables: Mapping[str, str] = field(default_factory=dict)
    say_size: bool = False

    def packages(self, *, cuda: bool) -> tuple[str, ...]:
        """All pip requirements, with those of our own code; those for NVIDIA GPUs if `cuda`."""
        if not cuda:
            return (*self.requirements, *WORKER_REQUIREMENTS)
        own = self.requirements if self.cuda_requirements is None else self.cuda_requirements
        return (*own, *WORKER_CUDA_REQUIREMENTS, *WORKER_REQUIREMENTS)


class Entry(Struct, frozen=True, kw_only=True):
    """One backend.

    Attributes:
        title: a short description.
        adapter, native: "module:Class" of the adapter for matched mode and of the one for native
            mode; None where there is no native mode.
        environment: the name of the environment in which it runs.
        needs: packages without which it cannot start, alternatives joined by "|".
        variables: environment variables of its workers, besides those of its environment.
        compiled: whether the framework's compiler is on.
        default: whether a run includes it if the user names no backends.
        variant_of: the plain backend of which this is the tuned variant; a run includes variants
            with `--tuned`.
        changes: how the variant differs from the plain backend, in Markdown.
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
    """Why a backend lacks a feature.

    never: it does not fit the framework; not yet: this adapter does not implement it yet.
    """

    kind: Literal["never", "not yet"]
    reason: str


# Feature -> the fields of a job that ask for it. A listed gap that works nevertheless is an error.
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
    reason="mixed precision has no place in the language yet, and the verification is of float32",
)


class Family(Struct, frozen=True, kw_only=True):
    """A family of backends; the keys of its mappings are names of environments or backends.

    Attributes:
        environments: the environments that it adds; its backends may also run in another family's.
        backends: see `Entry`.
        gaps: the features that a backend lacks. A variant has its plain backend's gaps, and no
            native mode.
        untuned: why a backend has no tuned variant. It says which options gained nothing, so that
            nobody has to try them again.
        defaults: "module:NAME" of a mapping from backends to their defaults and settings, see
            `backends.defaults`; "" where there is no framework.
    """

    backends: Mapping[str, Entry]
    environments: Mapping[str, Environment] = field(default_factory=dict)
    gaps: Mapping[str, Mapping[str, Gap]] = field(default_factory=dict)
    untuned: Mapping[str, str] = field(default_factory=dict)
    defaults: str = ""
