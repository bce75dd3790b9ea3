"""The reference: NumPy in float64, in the bench's own environment; what every other backend is held to."""

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
            title="NumPy, float64: slow, plain, the oracle",
            adapter="backends.reference.oracle:Reference",
            environment=OWN_ENVIRONMENT,
            needs=("numpy",),
            default=False,
        )
    },
)
