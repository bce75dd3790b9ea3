"""JAX's backend, and the environment that Keras on JAX shares with it."""

from __future__ import annotations

from backends.family import Entry, Environment, Family, Gap

_NO_NATIVE_MODE = Gap(
    kind="never",
    reason="JAX has no layers, optimizers or input pipeline, so it has no defaults for them",
)

FAMILY = Family(
    environments={
        "jax": Environment(
            engine="backends.jax.engine:JaxEngine",
            requirements=("jax==0.10.2", "keras==3.15.1", "numpy==2.4.6"),
            cuda_requirements=("jax[cuda12]==0.10.2", "keras==3.15.1", "numpy==2.4.6"),
            versions=("jax", "jaxlib", "keras", "numpy"),
            variables={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            # On CPUs a product of matrices keeps the old values of a weight whose memory a step
            # has overwritten (`donate_argnums`): docs/findings.md.
            wrong_versions={"jaxlib": ("0.7.2", "0.8.0", "0.8.1")},
        )
    },
    backends={
        "jax": Entry(
            title="JAX, an epoch in one compiled scan (CPU: a step with convolutions)",
            adapter="backends.jax.scan:Jax",
            environment="jax",
            needs=("jax",),
            compiled=True,
        )
    },
    gaps={"jax": {"native mode": _NO_NATIVE_MODE}},
    untuned={"jax": "an epoch (with convolutions on a CPU: a step) is already compiled as a whole"},
    defaults="backends.jax.defaults:BACKENDS",
    scripts={"jax": "backends.jax.script:script"},
)
