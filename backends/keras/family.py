"""Keras's backends: `model.fit` on three engines.

Each backend runs in the environment of its engine's family.
"""

from __future__ import annotations

from backends.family import Entry, Family

FAMILY = Family(
    backends={
        "keras-tensorflow": Entry(
            title="Keras on TensorFlow, model.fit",
            adapter="backends.keras.tensorflow:KerasTensorFlow",
            native="backends.keras.tensorflow_native:KerasTensorFlowNative",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow", "keras"),
            framework="keras",
            variables={"KERAS_BACKEND": "tensorflow"},
        ),
        "keras-tensorflow-tuned": Entry(
            title="Keras on TensorFlow, model.fit, 16 steps per call",
            adapter="backends.keras.tensorflow:KerasTensorFlowTuned",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow", "keras"),
            framework="keras",
            variables={"KERAS_BACKEND": "tensorflow"},
            compiled_on_gpus=True,
            variant_of="keras-tensorflow",
            changes="`steps_per_execution=16`; on GPUs (untested) also XLA, `jit_compile=True`",
        ),
        "keras-tensorflow-xla": Entry(
            title="Keras on TensorFlow, model.fit, XLA",
            adapter="backends.keras.tensorflow:KerasTensorFlow",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow", "keras"),
            framework="keras",
            variables={"KERAS_BACKEND": "tensorflow"},
            compiled=True,
            variant_of="keras-tensorflow",
            changes="`jit_compile=True`, Keras's default if it sees a GPU",
        ),
        "keras-jax": Entry(
            title="Keras on JAX, model.fit",
            adapter="backends.keras.jax:KerasJax",
            native="backends.keras.jax_native:KerasJaxNative",
            environment="jax",
            needs=("jax", "keras"),
            framework="keras",
            variables={"KERAS_BACKEND": "jax"},
            compiled=True,
        ),
        "keras-jax-tuned": Entry(
            title="Keras on JAX, model.fit, 16 steps per call",
            adapter="backends.keras.jax:KerasJaxTuned",
            environment="jax",
            needs=("jax", "keras"),
            framework="keras",
            variables={"KERAS_BACKEND": "jax"},
            compiled=True,
            variant_of="keras-jax",
            changes="`steps_per_execution=16`",
        ),
        "keras-torch": Entry(
            title="Keras on PyTorch, model.fit",
            adapter="backends.keras.torch:KerasTorch",
            native="backends.keras.torch_native:KerasTorchNative",
            environment="torch",
            needs=("torch", "keras"),
            framework="keras",
            variables={"KERAS_BACKEND": "torch"},
        ),
        "keras-torch-channels-first": Entry(
            title="Keras on PyTorch, model.fit, channels first",
            adapter="backends.keras.experiments:KerasTorchChannelsFirst",
            environment="torch",
            needs=("torch", "keras"),
            framework="keras",
            variables={"KERAS_BACKEND": "torch"},
            variant_of="keras-torch",
            changes='`image_data_format="channels_first"`',
            experiment="What do the copies between Keras's layout of images and PyTorch's cost?",
        ),
        "keras-torch-compiled": Entry(
            title="Keras on PyTorch, model.fit, torch.compile",
            adapter="backends.keras.experiments:KerasTorchCompiled",
            environment="torch",
            needs=("torch", "keras"),
            framework="keras",
            variables={
                "KERAS_BACKEND": "torch",
                # With the caches a second job would find the first one's kernels.
                "TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1",
            },
            compiled=True,
            variant_of="keras-torch",
            changes="`jit_compile=True`",
            experiment="Is a compiled training step of Keras on PyTorch faster?",
        ),
    },
    untuned={
        "keras-torch": "Keras on PyTorch refuses `steps_per_execution`, and `jit_compile=True` is"
        " no gain: on a CPU core an epoch of mnist-5k took 0.9 times the CPU time with the MLP and"
        " 1.1 to 1.6 times with softmax, after more than a minute of compiling. By its source, on a"
        " GPU Keras itself copies a few numbers to the device in every step, and each copy waits",
    },
    defaults="backends.keras.defaults:BACKENDS",
    scripts={"keras": "backends.keras.script:script"},
)
