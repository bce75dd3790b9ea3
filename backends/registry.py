"""The one table of backends and of the environments they run in: names, classes, versions. Imports no framework."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from msgspec import Struct, field

# What our own code needs inside a worker, whatever the framework.
WORKER_REQUIREMENTS = ("msgspec==0.22.0",)
# On a machine with an NVIDIA GPU also what its energy is read with; without it a worker says so, and has no figure.
WORKER_CUDA_REQUIREMENTS = ("nvidia-ml-py==13.615.71",)


class Environment(Struct, frozen=True, kw_only=True):
    """One virtual environment: a family of frameworks whose packages can live together.

    Attributes:
        requirements: pip requirements, pinned; the only place where a framework's version stands.
        cuda_requirements: the same where the machine has an NVIDIA GPU.
        versions: packages whose versions decide a measurement, the framework's own first.
        say_size: pip may fetch GPU builds of several GB here, so the size is asked for and said before.
    """

    requirements: tuple[str, ...]
    cuda_requirements: tuple[str, ...]
    versions: tuple[str, ...]
    say_size: bool = False


class Entry(Struct, frozen=True, kw_only=True):
    """One backend, as it is run; `adapter` is "module:Class".

    `native` is the adapter of its native mode, None where it has none; `needs` names the packages without which it
    cannot start, alternatives joined by "|"; `compiled` says whether the framework's compiler is on; `default` whether
    a run that names no backends takes it.

    A tuned variant names in `variant_of` the plain backend whose framework it shows at its best, and in `changes` how;
    a run takes it with `--tuned`.
    """

    title: str
    adapter: str
    environment: str
    needs: tuple[str, ...]
    variables: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    native: str | None = None
    compiled: bool = False
    default: bool = True
    variant_of: str | None = None
    changes: str = ""


# The environment that the bench itself runs in; nothing to install.
OWN_ENVIRONMENT = "bench"

ENVIRONMENTS: Mapping[str, Environment] = MappingProxyType(
    {
        "tensorflow": Environment(
            requirements=("tensorflow-cpu==2.21.0", "keras==3.15.1"),
            cuda_requirements=("tensorflow[and-cuda]==2.21.0", "keras==3.15.1"),
            versions=("tensorflow-cpu", "tensorflow", "keras", "numpy"),
        ),
        "torch": Environment(
            requirements=("torch==2.13.0", "torchvision==0.28.0", "keras==3.15.1", "numpy==2.4.6"),
            cuda_requirements=("torch==2.13.0", "torchvision==0.28.0", "keras==3.15.1", "numpy==2.4.6"),
            versions=("torch", "torchvision", "keras", "numpy"),
            say_size=True,
        ),
        "jax": Environment(
            requirements=("jax==0.10.2", "keras==3.15.1", "numpy==2.4.6"),
            cuda_requirements=("jax[cuda12]==0.10.2", "keras==3.15.1", "numpy==2.4.6"),
            versions=("jax", "jaxlib", "keras", "numpy"),
        ),
    }
)

BACKENDS: Mapping[str, Entry] = MappingProxyType(
    {
        "keras-tensorflow": Entry(
            title="Keras on TensorFlow, model.fit",
            adapter="backends.keras_tensorflow:KerasTensorFlow",
            native="backends.keras_tensorflow_native:KerasTensorFlowNative",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow", "keras"),
            variables={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        ),
        "keras-tensorflow-tuned": Entry(
            title="Keras on TensorFlow, model.fit, 16 steps per call",
            adapter="backends.keras_tensorflow_tuned:KerasTensorFlowTuned",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow", "keras"),
            variables={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
            default=False,
            variant_of="keras-tensorflow",
            changes="`steps_per_execution=16`",
        ),
        "keras-jax": Entry(
            title="Keras on JAX, model.fit",
            adapter="backends.keras_jax:KerasJax",
            native="backends.keras_jax_native:KerasJaxNative",
            environment="jax",
            needs=("jax", "keras"),
            variables={"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            compiled=True,
        ),
        "keras-jax-tuned": Entry(
            title="Keras on JAX, model.fit, 16 steps per call",
            adapter="backends.keras_jax_tuned:KerasJaxTuned",
            environment="jax",
            needs=("jax", "keras"),
            variables={"KERAS_BACKEND": "jax", "XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            compiled=True,
            default=False,
            variant_of="keras-jax",
            changes="`steps_per_execution=16`",
        ),
        "keras-torch": Entry(
            title="Keras on PyTorch, model.fit",
            adapter="backends.keras_torch:KerasTorch",
            native="backends.keras_torch_native:KerasTorchNative",
            environment="torch",
            needs=("torch", "keras"),
            variables={"KERAS_BACKEND": "torch"},
        ),
        "pytorch": Entry(
            title="PyTorch, eager",
            adapter="backends.pytorch:PyTorch",
            native="backends.pytorch_native:PyTorchNative",
            environment="torch",
            needs=("torch",),
        ),
        "pytorch-compiled": Entry(
            title="PyTorch, torch.compile",
            adapter="backends.pytorch_compiled:PyTorchCompiled",
            environment="torch",
            needs=("torch",),
            # Else a second job would find the first one's kernels, and its start would look cheap.
            variables={"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
            compiled=True,
            variant_of="pytorch",
            changes="`torch.compile` of model and optimizer; on CUDA, untested, in CUDA graphs and channels last",
        ),
        "tensorflow": Entry(
            title="TensorFlow without Keras, an epoch in one function",
            adapter="backends.tensorflow_loop:TensorFlow",
            native="backends.tensorflow_native:TensorFlowNative",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow", "keras"),  # Keras for native mode alone
            variables={"KERAS_BACKEND": "tensorflow", "TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
        ),
        "tensorflow-xla": Entry(
            title="TensorFlow without Keras, XLA: an epoch in one program (CPU: a step with convolutions)",
            adapter="backends.tensorflow_xla:TensorFlowXla",
            environment="tensorflow",
            needs=("tensorflow-cpu|tensorflow",),
            variables={"TF_CPP_MIN_LOG_LEVEL": "2", "TF_FORCE_GPU_ALLOW_GROWTH": "true"},
            compiled=True,
            default=False,
            variant_of="tensorflow",
            changes="`tf.function(jit_compile=True)`",
        ),
        "jax": Entry(
            title="JAX, an epoch in one compiled scan (CPU: a step with convolutions)",
            adapter="backends.jax_scan:Jax",
            environment="jax",
            needs=("jax",),
            variables={"XLA_PYTHON_CLIENT_PREALLOCATE": "false"},
            compiled=True,
        ),
        "reference": Entry(
            title="NumPy, float64: slow, plain, the oracle",
            adapter="backends.reference:Reference",
            environment=OWN_ENVIRONMENT,
            needs=("numpy",),
            default=False,
        ),
    }
)

# What the engine of each environment reaches by itself, as "module:Class", see `backends.limits`.
ENGINES: Mapping[str, str] = MappingProxyType(
    {
        "tensorflow": "backends.tensorflow_limits:TensorFlowEngine",
        "torch": "backends.pytorch_limits:PyTorchEngine",
        "jax": "backends.jax_limits:JaxEngine",
        OWN_ENVIRONMENT: "backends.reference_limits:ReferenceEngine",
    }
)
