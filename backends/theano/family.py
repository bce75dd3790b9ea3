"""Theano's backend and its environment."""

from __future__ import annotations

from backends.family import Entry, Environment, Family, Gap

_ON_CPUS = "Theano trains on the CPU here"

FAMILY = Family(
    environments={
        "theano": Environment(
            engine="backends.theano.engine:TheanoEngine",
            # Theano links to the OpenBLAS of SciPy, see `blas`. In a newer SciPy its functions have
            # other names. That of an older one, 0.3.18, does not know new processors: on one with
            # AVX-512 it computed with SSE3. A newer NumPy lacks what Theano imports.
            requirements=("Theano==1.0.5", "scipy==1.13.1", "numpy==1.23.5"),
            build_requirements=("setuptools==80.9.0", "wheel==0.45.1"),
            pythons=("3.11", "3.10"),
            versions=("Theano", "scipy", "numpy"),
            # The user's file of settings is not read; what THEANO_FLAGS says is, see `framework`.
            variables={"THEANORC": ""},
        )
    },
    backends={
        "theano": Entry(
            title="Theano, a step in one compiled function over shared data",
            adapter="backends.theano.functions:Theano",
            environment="theano",
            needs=("Theano",),
            compiled=True,
            retired=2020,
        )
    },
    gaps={
        "theano": {
            "TF32": Gap(kind="never", reason=f"TF32 is a format of GPUs; {_ON_CPUS}"),
            "bfloat16": Gap(kind="never", reason="Theano has no bfloat16"),
        }
    },
    defaults="backends.theano.defaults:BACKENDS",
    scripts={"theano": "backends.theano.script:script"},
)
