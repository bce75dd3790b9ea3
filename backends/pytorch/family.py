"""PyTorch's backends and their environment."""

from __future__ import annotations

from backends.family import KEEP_MEMORY, KEEP_MEMORY_TEXT, CudaBuild, Entry, Environment, Family

_OTHERS = ("keras==3.15.1", "numpy==2.4.6")


_EAGER = Entry(
    title="PyTorch, eager",
    adapter="backends.pytorch.eager:PyTorch",
    parallel="backends.pytorch.ranks:PyTorchRanks",
    on_nodes="backends.pytorch.ranks:PyTorchRanks",
    native="backends.pytorch.native:PyTorchNative",
    environment="torch",
    needs=("torch",),
)
_COMPILED = _EAGER.variant(
    "pytorch",
    "PyTorch, torch.compile",
    adapter="backends.pytorch.compiled:PyTorchCompiled",
    # With the caches a second job would find the first one's kernels, and would start faster.
    variables={"TORCHINDUCTOR_FORCE_DISABLE_CACHES": "1"},
    compiled=True,
    # A program is recorded as a CUDA graph in its second call. Those of the partial batches
    # are called once per epoch.
    warm_up_on_gpus=2,
    changes="`torch.compile` of model, loss and optimizer; on CUDA (untested) also CUDA"
    " graphs of model and loss",
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
        "pytorch": _EAGER,
        "pytorch-tuned": _EAGER.variant(
            "pytorch",
            "PyTorch, eager, channels last and fused optimizers",
            adapter="backends.pytorch.tuned:PyTorchTuned",
            changes="`channels_last`, on CPUs if there is no batch norm, on GPUs with tensor cores;"
            f" `fused=True` of SGD, Adagrad, Adam and AdamW; {KEEP_MEMORY_TEXT}",
            variables=KEEP_MEMORY,
        ),
        "pytorch-compiled": _COMPILED,
        "pytorch-compiled-tuned": _COMPILED.variant(
            "pytorch",
            "PyTorch, torch.compile, freed memory is kept",
            changes=f"{_COMPILED.changes}; {KEEP_MEMORY_TEXT}",
            variables={**_COMPILED.variables, **KEEP_MEMORY},
        ),
        "pytorch-compiled-channels-last": _COMPILED.variant(
            "pytorch-compiled",
            "PyTorch, torch.compile, channels last",
            adapter="backends.pytorch.experiments:PyTorchChannelsLast",
            changes="`memory_format=torch.channels_last` in float32, too",
            experiment="Are convolutions in float32 faster with channels last than in the layout"
            " that the compiler chooses?",
        ),
        "pytorch-compiled-contiguous": _COMPILED.variant(
            "pytorch-compiled",
            "PyTorch, torch.compile, PyTorch's layout",
            adapter="backends.pytorch.experiments:PyTorchContiguous",
            changes="`layout_optimization=False`, and no `channels_last`",
            experiment="Are convolutions faster in PyTorch's own layout than in the one that the"
            " compiler chooses?",
        ),
        "pytorch-compiled-update-graph": _COMPILED.variant(
            "pytorch-compiled",
            "PyTorch, torch.compile, CUDA graph of the optimizer",
            adapter="backends.pytorch.experiments:PyTorchUpdateGraph",
            changes='`mode="reduce-overhead"` for the optimizer\'s step, too',
            experiment="Does a CUDA graph of the optimizer's step save more than its launches"
            " cost?",
        ),
    },
    defaults="backends.pytorch.defaults:BACKENDS",
    scripts={"pytorch": "backends.pytorch.script:script"},
)
