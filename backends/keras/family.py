"""Keras's backends: `model.fit` on three engines.

Each backend runs in the environment of its engine's family.
"""

from __future__ import annotations

from backends.family import KEEP_MEMORY, KEEP_MEMORY_TEXT, Entry, Family
from backends.jax.family import NO_YNNPACK


def _plain(engine: str, framework: str, package: str, adapter: str) -> Entry:
    """Keras on an engine; its environment has the engine's name."""
    return Entry(
        title=f"Keras on {framework}, model.fit",
        adapter=f"backends.keras.{engine}:{adapter}",
        native=f"backends.keras.{engine}_native:{adapter}Native",
        environment=engine,
        needs=(package, "keras"),
        framework="keras",
        variables={"KERAS_BACKEND": engine},
        compiled=engine == "jax",
    )


_TENSORFLOW = _plain("tensorflow", "TensorFlow", "tensorflow-cpu|tensorflow", "KerasTensorFlow")
_JAX = _plain("jax", "JAX", "jax", "KerasJax")
_TORCH = _plain("torch", "PyTorch", "torch", "KerasTorch")

FAMILY = Family(
    backends={
        "keras-tensorflow": _TENSORFLOW,
        "keras-tensorflow-tuned": _TENSORFLOW.variant(
            "keras-tensorflow",
            "Keras on TensorFlow, model.fit, 16 steps per call",
            adapter="backends.keras.tensorflow:KerasTensorFlowTuned",
            compiled_on_gpus=True,
            changes="`steps_per_execution=16`; on GPUs (untested) also XLA, `jit_compile=True`",
        ),
        "keras-tensorflow-xla": _TENSORFLOW.variant(
            "keras-tensorflow",
            "Keras on TensorFlow, model.fit, XLA",
            compiled=True,
            changes="`jit_compile=True`, Keras's default if it sees a GPU",
        ),
        "keras-jax": _JAX,
        "keras-jax-tuned": _JAX.variant(
            "keras-jax",
            "Keras on JAX, model.fit, 16 steps per call",
            adapter="backends.keras.jax:KerasJaxTuned",
            changes=f"`steps_per_execution=16`; on CPUs `{NO_YNNPACK}`",
        ),
        "keras-torch": _TORCH,
        # Without `steps_per_execution`, which Keras on PyTorch refuses, and without
        # `jit_compile=True`: on a CPU core an epoch of mnist-5k took 0.9 times the CPU time with
        # the MLP and 1.1 to 1.6 times with softmax, after more than a minute of compiling.
        "keras-torch-tuned": _TORCH.variant(
            "keras-torch",
            "Keras on PyTorch, model.fit, channels first, freed memory is kept",
            adapter="backends.keras.experiments:KerasTorchChannelsFirst",
            changes=f'`image_data_format="channels_first"`; {KEEP_MEMORY_TEXT}',
            variables={**_TORCH.variables, **KEEP_MEMORY},
        ),
        "keras-torch-channels-first": _TORCH.variant(
            "keras-torch",
            "Keras on PyTorch, model.fit, channels first",
            adapter="backends.keras.experiments:KerasTorchChannelsFirst",
            changes='`image_data_format="channels_first"`',
            experiment="What do the copies between Keras's layout of images and PyTorch's cost?",
        ),
        "keras-torch-compiled": _TORCH.variant(
            "keras-torch",
            "Keras on PyTorch, model.fit, torch.compile",
            adapter="backends.keras.experiments:KerasTorchCompiled",
            # With the caches a second job would find the first one's kernels.
            variables={**_TORCH.variables, "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
            compiled=True,
            changes="`jit_compile=True`",
            experiment="Is a compiled training step of Keras on PyTorch faster?",
        ),
    },
    defaults="backends.keras.defaults:BACKENDS",
    scripts={"keras": "backends.keras.script:script"},
)
