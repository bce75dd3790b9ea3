"""PyTorch's backends and their environment."""

from __future__ import annotations

from backends.family import CudaBuild, Entry, Environment, Family

_OTHERS = ("keras==3.15.1", "numpy==2.4.6")

# With the caches a second job would find the first one's kernels, and would start faster.
_NO_CACHES = {"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"}


def _experiment(title: str, adapter: str, *, changes: str, question: str) -> Entry:
    """A variant of compiled PyTorch that answers a question."""
    return Entry(
        title=f"PyTorch, torch.compile, {title}",
        adapter=f"backends.pytorch.experiments:{adapter}",
        environment="torch",
        needs=("torch",),
        variables=_NO_CACHES,
        compiled=True,
        warm_up_on_gpus=2,
        variant_of="pytorch-compiled",
        changes=changes,
        experiment=question,
    )


FAMILY = Family(
    environments={
        "torch": Environment(
            engine="backends.pytorch.engine:PyTorchEngine",
            requirements=("torch==2.13.0", "torchvision==0.28.0", *_OTHERS),
            # The libraries: the wheels' metadata (CUDA 13.0.3). The compute capabilities:
            # RELEASE.md of PyTorch 2.12 to 2.14 (pull requests 182849 and 197555), 12.0 with PTX.
            # The drivers: NVIDIA, "CUDA minor version compatibility". Nothing of it was run here.
            cuda=(
                CudaBuild(
                    cuda="13.0",
                    requirements=("torch==2.13.0", "torchvision==0.28.0", *_OTHERS),
                    minimum_driver=580,
                    lowest={"x86_64": (7, 5), "aarch64": (8, 0)},
                ),
                CudaBuild(
                    cuda="12.6",
                    # With their labels, so that pip cannot take PyPI's builds instead. That the
                    # index has these two was not seen: it could not be reached.
                    requirements=("torch==2.13.0+cu126", "torchvision==0.28.0+cu126", *_OTHERS),
                    minimum_driver=525,
                    lowest={"x86_64": (5, 0), "aarch64": (8, 0)},
                    highest=(9, 9),
                    index="https://download.pytorch.org/whl/cu126",
                ),
            ),
            ask_cuda="import torch; print(torch.version.cuda or '')",
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
            parallel="backends.pytorch.ranks:PyTorchRanks",
            on_nodes=True,
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
            variables=_NO_CACHES,
            compiled=True,
            # A program is recorded as a CUDA graph in its second call. Those of the partial batches
            # are called once per epoch.
            warm_up_on_gpus=2,
            variant_of="pytorch",
            changes="`torch.compile` of model, loss and optimizer; on CUDA (untested) also CUDA"
            " graphs of model and loss",
        ),
        "pytorch-compiled-channels-last": _experiment(
            "channels last",
            "PyTorchChannelsLast",
            changes="`memory_format=torch.channels_last` in float32, too",
            question="Are convolutions in float32 faster with channels last than in the layout that"
            " the compiler chooses?",
        ),
        "pytorch-compiled-contiguous": _experiment(
            "PyTorch's layout",
            "PyTorchContiguous",
            changes="`layout_optimization=False`, and no `channels_last`",
            question="Are convolutions faster in PyTorch's own layout than in the one that the"
            " compiler chooses?",
        ),
        "pytorch-compiled-update-graph": _experiment(
            "CUDA graph of the optimizer",
            "PyTorchUpdateGraph",
            changes='`mode="reduce-overhead"` for the optimizer\'s step, too',
            question="Does a CUDA graph of the optimizer's step save more than its launches cost?",
        ),
    },
    defaults="backends.pytorch.defaults:BACKENDS",
    scripts={"pytorch": "backends.pytorch.script:script"},
)
