"""The reference's entry in the registry; it runs in the bench's own environment."""

from __future__ import annotations

from backends.family import OWN_ENVIRONMENT, Entry, Environment, Family, Gap

_IN_FLOAT64 = Gap(kind="never", reason="the reference computes in float64")

FAMILY = Family(
    environments={
        OWN_ENVIRONMENT: Environment(
            engine="backends.reference.engine:ReferenceEngine", requirements=(), versions=("numpy",)
        )
    },
    backends={
        "reference": Entry(
            title="NumPy in float64: slow, the reference of the verification",
            adapter="backends.reference.oracle:Reference",
            environment=OWN_ENVIRONMENT,
            needs=("numpy",),
        )
    },
    gaps={"reference": {"TF32": _IN_FLOAT64, "bfloat16": _IN_FLOAT64}},
    scripts={"numpy": "backends.reference.script:script"},
)
