"""The environment, the backend and its missing features, as data; it imports no framework."""

from __future__ import annotations

from backends.family import BFLOAT16, Entry, Environment, Family, Gap

FAMILY = Family(
    environments={
        "toy": Environment(
            engine="toy_family.engine:ToyEngine",
            requirements=("numpy==2.4.6",),
            versions=("numpy",),
        )
    },
    backends={
        "toy": Entry(
            title="A toy on NumPy",
            adapter="toy_family.eager:Toy",
            environment="toy",
            needs=("numpy",),
        )
    },
    gaps={
        "toy": {
            "bfloat16": BFLOAT16,
            "native mode": Gap(kind="never", reason="the toy has no tutorial"),
        }
    },
    defaults="toy_family.defaults:BACKENDS",
)
