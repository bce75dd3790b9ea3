"""MXNet's backend and its environment."""

from __future__ import annotations

from backends.family import BFLOAT16, Entry, Environment, Family, Gap

FAMILY = Family(
    environments={
        "mxnet": Environment(
            engine="backends.mxnet.engine:MxnetEngine",
            # With NumPy 1.24 or newer `import mxnet` fails.
            requirements=("mxnet==1.9.1", "numpy==1.23.5"),
            versions=("mxnet", "numpy"),
            pythons=("3.11", "3.10"),  # NumPy 1.23.5 has no builds for newer ones
            # These are MXNet's defaults. The user may have set others, which would change the
            # arithmetic or the threads.
            variables={
                "MXNET_ENGINE_TYPE": "ThreadedEnginePerDevice",
                "MXNET_CPU_WORKER_NTHREADS": "1",
                "MXNET_MKLDNN_ENABLED": "1",
                "MXNET_SAFE_ACCUMULATION": "0",
            },
        )
    },
    backends={
        "mxnet": Entry(
            title="MXNet, Gluon",
            adapter="backends.mxnet.gluon:Mxnet",
            environment="mxnet",
            needs=("mxnet",),
            retired=2022,
        )
    },
    gaps={
        "mxnet": {
            "TF32": Gap(
                kind="never", reason="TF32 is a format of GPUs; this MXNet is a build for CPUs"
            ),
            "bfloat16": BFLOAT16,
        }
    },
    defaults="backends.mxnet.defaults:BACKENDS",
    scripts={"mxnet": "backends.mxnet.script:script"},
)
