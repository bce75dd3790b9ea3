"""PyTorch with `torch.compile` of model and loss, and of the optimizer's step, as in its tutorials.

On CUDA it also uses CUDA graphs for model and loss, and channels last with tensor cores; both are
untested, as no such device was available.

On CPUs it is no gain. Epochs of mnist-5k took 1.48 times the CPU time of eager PyTorch with softmax
(1.38 to 1.53), 1.00 times with the MLP (0.95 to 1.02), 1.28 times with the CNN (1.25 to 1.37). The
figures are the median and range of 8 processes, which trained both variants in turn, with one or
two threads on two shared cores with AVX2. With the layout optimization the CNN took 1.11 times, and
its results were wrong.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from backends import contract
from backends.contract import Job, Unsupported
from backends.pytorch import device as pytorch_device
from backends.pytorch.eager import PyTorch
from backends.pytorch.updates import AdamBeforeCorrection

# On CPUs PyTorch 2.13.0 computes wrong gradients without this option. Its layout optimization moves
# convolutions to channels last, and in front of a max-pool every gradient is then exactly 0 at
# batch sizes from 64 to 128 (at 8, 32 and 256 it is right). This was seen on AVX2 and AVX-512, with
# one and two threads. `tests/backends/test_frameworks.py` fails without the option.
_CPU_OPTIONS = {"layout_optimization": False}
# A job has one graph per batch size and mode. `bench verify` has hundreds, as it builds many models
# in one process.
_MOST_GRAPHS = 1000


class PyTorchCompiled(PyTorch):
    """`torch.compile` of model and loss, once per size of batch, and of `optimizer.step`."""

    compiles = True
    update_mode: str | None = None  # of the optimizer's step; None is PyTorch's default

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        require_compiler(self._device)
        if self._has_channels_last():
            self._model.to(memory_format=torch.channels_last)
        options = self._options()
        self._model.compile(dynamic=False, fullgraph=True, **options)  # for predictions
        self._loss_of = torch.compile(self._loss_of, dynamic=False, fullgraph=True, **options)
        optimizer = self._optimizer
        if isinstance(optimizer, AdamBeforeCorrection):
            optimizer.compile(self.update_mode)
        else:
            self._update = torch.compile(self._update, dynamic=False, mode=self.update_mode)

    def _has_channels_last(self) -> bool:
        """Whether the weights of convolutions have channels last.

        In plain float32 TorchInductor chooses the layout; on a CPU channels last is no gain.
        """
        return pytorch_device.trains_channels_last(self._job, self._device)

    def _options(self) -> dict[str, Any]:
        """How model and loss are compiled."""
        on_cuda = self._device.type == "cuda"
        return {"mode": "reduce-overhead"} if on_cuda else {"options": _CPU_OPTIONS}

    def predict(self, images: contract.Images) -> contract.Logits:
        """Logits (n, classes).

        Every result is read before the next call, as a CUDA graph writes its logits to the same
        memory each time.
        """
        size = contract.PREDICTION_BATCH
        batches = [images[start : start + size] for start in range(0, len(images), size)]
        return np.concatenate([super(PyTorchCompiled, self).predict(batch) for batch in batches])

    def device_memory(self) -> contract.DeviceMemory | None:
        """The peak from the start of the process.

        A CUDA graph allocates memory when it is recorded, and none when it is replayed. A peak of
        replays alone would leave out most of a step's memory.
        """
        return pytorch_device.device_memory(self._device, resets=False)


def require_compiler(device: torch.device) -> None:
    """Check that `torch.compile` works.

    It needs a C++ compiler on a CPU, and Triton and a C compiler on a GPU. This function also makes
    PyTorch raise an error if it reaches its limit of graphs; otherwise it would silently run
    eagerly.

    Raises:
        Unsupported: a trivial function cannot be compiled.
    """
    config = torch._dynamo.config
    config.recompile_limit = config.accumulated_recompile_limit = _MOST_GRAPHS
    config.fail_on_recompile_limit_hit = True
    try:
        torch.compile(torch.exp)(torch.ones(2, device=device))
    except (RuntimeError, OSError) as error:  # PyTorch's own errors are RuntimeErrors
        kind, reason = type(error).__name__, str(error).strip().partition("\n")[0]
        raise Unsupported(f"torch.compile does not work here: {kind}: {reason}") from error
