"""TensorFlow's backends without Keras, and the environment that Keras on TensorFlow shares."""

from __future__ import annotations

from backends.family import CudaBuild, Entry, Environment, Family

_CUDA_REQUIREMENTS = ("tensorflow[and-cuda]==2.21.0", "keras==3.15.1")

FAMILY = Family(
    environments={
        "tensorflow": Environment(
            engine="backends.tensorflow.engine:TensorFlowEngine",
            requirements=("tensorflow-cpu==2.21.0", "keras==3.15.1"),
            # The libraries: the wheel's metadata. The compute capabilities: TensorFlow's .bazelrc;
            # on Blackwell (10.0 and newer) XLA ends the process (issue 111958). The wheel for
            # aarch64 has half the size, so it cannot have the code for GPUs. cuDNN: see
            # `backends.jax.family`. Nothing of it was run here.
            cuda=(
                CudaBuild(
                    cuda="12.5",
                    requirements=_CUDA_REQUIREMENTS,
                    minimum_driver=525,
                    lowest={"x86_64": (7, 5)},
                    highest=(9, 9),
                ),
                CudaBuild(
                    cuda="12.5",
                    requirements=(*_CUDA_REQUIREMENTS, "nvidia-cudnn-cu12==9.10.2.21"),
                    minimum_driver=525,
                    lowest={"x86_64": (6, 0)},
                    highest=(9, 9),
                ),
            ),
            ask_cuda="import tensorflow as tf\n"
            "found = tf.sysconfig.get_build_info()\n"
            "print(found['cuda_version'] if found['is_cuda_build'] else '')",
            versions=("tensorflow-cpu", "tensorflow", "keras", "numpy"),
            variables={"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        )
    },
    backends={
        "tensorflow": Entry(
            title="TensorFlow without Keras, an epoch in one function",
            adapter="backends.tensorflow.loop:TensorFlow",
            parallel="backends.tensorflow.ranks:TensorFlowRanks",
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
