"""TensorFlow's backends without Keras, and the environment that Keras on TensorFlow shares."""

from __future__ import annotations

from backends.family import Entry, Environment, Family

FAMILY = Family(
    environments={
        "tensorflow": Environment(
            engine="backends.tensorflow.engine:TensorFlowEngine",
            requirements=("tensorflow-cpu==2.21.0", "keras==3.15.1"),
            cuda_requirements=("tensorflow[and-cuda]==2.21.0", "keras==3.15.1"),
            versions=("tensorflow-cpu", "tensorflow", "keras", "numpy"),
            variables={"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        )
    },
    backends={
        "tensorflow": Entry(
            title="TensorFlow without Keras, an epoch in one function",
            adapter="backends.tensorflow.loop:TensorFlow",
            native="backends.keras.quickstart:TensorFlowNative",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow", "keras"),  # Keras is needed for native mode only
            variables={"KERAS_BACKEND": "tensorflow"},
        ),
        "tensorflow-xla": Entry(
            title="TensorFlow without Keras, XLA: an epoch in one program (CPU: a step with"
            " convolutions)",
            adapter="backends.tensorflow.xla:TensorFlowXla",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow",),
            compiled=True,
            variant_of="tensorflow",
            changes="`tf.function(jit_compile=True)`",
        ),
    },
    defaults="backends.tensorflow.defaults:BACKENDS",
    scripts={"tensorflow": "backends.keras.quickstart_script:script"},
)
