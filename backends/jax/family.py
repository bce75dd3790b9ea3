"""JAX's backend, and the environment that Keras on JAX shares with it."""

from __future__ import annotations

from backends.family import (
    KEEP_MEMORY,
    KEEP_MEMORY_TEXT,
    CudaBuild,
    Entry,
    Environment,
    Family,
    Gap,
)

_CUDA_REQUIREMENTS = ("jax[cuda12]==0.10.2", "keras==3.15.1", "numpy==2.4.6")

_NO_NATIVE_MODE = Gap(
    kind="never",
    reason="JAX has no layers, optimizers or input pipeline, so it has no defaults for them",
)

# XLA's fusions for YNNPACK take convolutions without padding on CPUs, and are slower than its own
# code: docs/findings.md. The empty value switches all of them off.
NO_YNNPACK = "--xla_cpu_experimental_ynn_fusion_type="

_JAX = Entry(
    title="JAX, an epoch in one compiled scan (CPU: a step with convolutions)",
    adapter="backends.jax.scan:Jax",
    parallel="backends.jax.ranks:JaxRanks",
    on_nodes="backends.jax.nodes:JaxNodes",
    environment="jax",
    needs=("jax",),
    compiled=True,
)

FAMILY = Family(
    environments={
        "jax": Environment(
            engine="backends.jax.engine:JaxEngine",
            requirements=("jax==0.10.2", "keras==3.15.1", "numpy==2.4.6"),
            # The drivers and compute capabilities: JAX's installation page and .bazelrc, which
            # ends with PTX for 12.0. pip takes the newest cuDNN 9, and from 9.11 on it has no code
            # for GPUs before 7.5: NVIDIA's support matrix; PyTorch has 9.10.2.21 for them, too.
            # Nothing of it was run here.
            cuda=(
                CudaBuild(
                    cuda="12",
                    requirements=_CUDA_REQUIREMENTS,
                    minimum_driver=525,
                    lowest={"x86_64": (7, 5), "aarch64": (7, 5)},
                ),
                CudaBuild(
                    cuda="12",
                    requirements=(*_CUDA_REQUIREMENTS, "nvidia-cudnn-cu12==9.10.2.21"),
                    minimum_driver=525,
                    lowest={"x86_64": (5, 2)},
                ),
            ),
            # The plug-in's name has the version: jax-cuda12-plugin.
            ask_cuda="import re\n"
            "from importlib.metadata import distributions\n"
            "names = ' '.join(str(found.metadata['Name']) for found in distributions())\n"
            "print(*re.findall(r'jax[-_]cuda([0-9]+)[-_]plugin', names)[:1])",
            versions=("jax", "jaxlib", "keras", "numpy"),
            variables={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            # On CPUs a product of matrices keeps the old values of a weight whose memory a step
            # has overwritten (`donate_argnums`): docs/findings.md.
            wrong_versions={"jaxlib": ("0.7.2", "0.8.0", "0.8.1")},
        )
    },
    backends={
        "jax": _JAX,
        "jax-tuned": _JAX.variant(
            "jax",
            "JAX, fast convolutions and max pooling on CPUs",
            adapter="backends.jax.tuned:JaxTuned",
            changes="on CPUs max pooling by comparisons in place of `lax.reduce_window`, and"
            f" `{NO_YNNPACK}`; {KEEP_MEMORY_TEXT}",
            variables=KEEP_MEMORY,
        ),
        "jax-unroll": _JAX.variant(
            "jax",
            "JAX, four steps in a turn of the loop",
            adapter="backends.jax.experiments:JaxUnroll",
            changes="`lax.scan(..., unroll=4)`",
            experiment="Does an unrolled loop over steps save more than its turns cost?",
        ),
        "jax-step": _JAX.variant(
            "jax",
            "JAX, a call per step",
            adapter="backends.jax.experiments:JaxStep",
            changes="a call for each step, in place of a loop over steps in one call",
            experiment="Is a call per step faster than a loop over steps in the compiled program?",
        ),
        "jax-loop-graph": _JAX.variant(
            "jax",
            "JAX, CUDA graph of the loop",
            changes="`--xla_gpu_enable_command_buffer=+WHILE`",
            experiment="Is the loop over steps faster as a part of a CUDA graph?",
            variables={"XLA_FLAGS": "--xla_gpu_enable_command_buffer=+WHILE"},
        ),
        "jax-rbg": _JAX.variant(
            "jax",
            "JAX, dropout by XLA's generator",
            adapter="backends.jax.experiments:JaxRbg",
            changes='`jax.random.key(seed, impl="rbg")`',
            experiment="Are dropout's masks drawn faster by XLA's own generator than by JAX's?",
        ),
    },
    gaps={"jax": {"native mode": _NO_NATIVE_MODE}},
    defaults="backends.jax.defaults:BACKENDS",
    scripts={"jax": "backends.jax.script:script"},
)
