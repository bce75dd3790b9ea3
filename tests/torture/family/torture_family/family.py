"""The environment and the backend; `--python torture=PATH` names the interpreter."""

from __future__ import annotations

from backends.family import Entry, Environment, Family

FAMILY = Family(
    environments={
        "torture": Environment(
            engine="backends.reference.engine:ReferenceEngine",
            requirements=("numpy",),
            versions=("numpy",),
        )
    },
    backends={
        "torture": Entry(
            title="The reference, which misbehaves when told to",
            adapter="torture_family.adapter:Misbehaving",
            environment="torture",
            needs=("numpy",),
        )
    },
)
