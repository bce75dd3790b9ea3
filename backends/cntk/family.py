"""CNTK's backend and its environment."""

from __future__ import annotations

from backends.family import Entry, Environment, Family, Gap

FAMILY = Family(
    environments={
        "cntk": Environment(
            engine="",
            requirements=("cntk==2.7.post2", "numpy==1.19.5", "scipy==1.5.4"),
            versions=("cntk", "numpy"),
            pythons=("3.6",),
            far=True,
            finish="backends.cntk.mpi:provide",
        )
    },
    backends={
        "cntk": Entry(
            title="CNTK 2.7, Trainer.train_minibatch, of 2019",
            adapter="backends.cntk.trainer:Cntk",
            environment="cntk",
            needs=("cntk",),
            retired=2019,
        )
    },
    gaps={
        "cntk": {
            "TF32": Gap(kind="never", reason="CNTK is older than TF32"),
            "bfloat16": Gap(kind="never", reason="CNTK is older than bfloat16 on CPUs and GPUs"),
        }
    },
    defaults="backends.cntk.defaults:BACKENDS",
    scripts={"cntk": "backends.cntk.script:script"},
)
