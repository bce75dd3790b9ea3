"""PyTorch's backends and their environment."""

from __future__ import annotations

from backends.family import BFLOAT16, Entry, Environment, Family

FAMILY = Family(
    environments={
        "torch": Environment(
            engine="backends.pytorch.engine:PyTorchEngine",
            requirements=("torch==2.13.0", "torchvision==0.28.0", "keras==3.15.1", "numpy==2.4.6"),
            versions=("torch", "torchvision", "keras", "numpy"),
            # On Linux the builds of PyPI are for NVIDIA GPUs, with several GB of libraries.
            cpu_index="https://download.pytorch.org/whl/cpu",
            say_size=True,
        )
    },
    backends={
        "pytorch": Entry(
            title="PyTorch, eager",
            adapter="backends.pytorch.eager:PyTorch",
            native="backends.pytorch.native:PyTorchNative",
            environment="torch",
            needs=("torch",),
        ),
        "pytorch-tuned": Entry(
            title="PyTorch, eager, channels last and fused optimizers",
            adapter="backends.pytorch.tuned:PyTorchTuned",
            environment="torch",
            needs=("torch",),
            variant_of="pytorch",
            changes="`channels_last` on CPUs; `fused=True` of SGD, Adagrad, Adam and AdamW",
        ),
        "pytorch-compiled": Entry(
            title="PyTorch, torch.compile",
            adapter="backends.pytorch.compiled:PyTorchCompiled",
            environment="torch",
            needs=("torch",),
            # With the caches a second job would find the first one's kernels, and would start
            # faster.
            variables={"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
            compiled=True,
            variant_of="pytorch",
            changes="`torch.compile` of model, loss and optimizer; on CUDA (untested) also CUDA"
            " graphs of model and loss",
        ),
    },
    gaps={"pytorch": {"bfloat16": BFLOAT16}},
    defaults="backends.pytorch.defaults:BACKENDS",
    scripts={"pytorch": "backends.pytorch.script:script"},
)
