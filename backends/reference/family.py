"""The reference's entry in the registry; it runs in the bench's own environment."""

from __future__ import annotations

from backends.family import OWN_ENVIRONMENT, Entry, Environment, Family

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
    scripts={"numpy": "backends.reference.script:script"},
)
