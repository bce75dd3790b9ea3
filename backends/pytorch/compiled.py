"""PyTorch through `torch.compile`: model and optimizer, each as PyTorch's tutorials do it; on CUDA also CUDA graphs.

On CPUs it gained nothing here. Epochs of mnist-5k took 1.48 times the eager form's CPU time with
softmax (1.38 to 1.53), 1.00 times with the MLP (0.95 to 1.02), 1.28 times with the CNN (1.25 to
1.37): median and range of 8 processes, with one or two threads on two shared cores with AVX2, in
which the two trained by turns. With the layout optimization the CNN took 1.11 times, to wrong
results. What is for CUDA alone is untested: no such device was at hand.
"""

from __future__ import annotations

import numpy as np
import torch

from backends import contract
from backends.contract import Job, Unsupported
from backends.pytorch.eager import PyTorch
from backends.pytorch.updates import AdamBeforeCorrection

# PyTorch 2.13.0 computes wrong gradients on CPUs without this: its layout optimization moves
# convolutions to channels last, and in front of a max-pool every gradient is exactly 0 at batch
# sizes from 64 to 128 (at 8, 32 and 256 they are right). Seen on AVX2 and AVX-512, with one thread
# and two; `tests/test_frameworks.py` fails without it.
_RIGHT_ON_CPUS = {"layout_optimization": False}
_MOST_GRAPHS = 1000  # one per size of batch and mode; in a proof, which builds many models in one process, hundreds


class PyTorchCompiled(PyTorch):
    """`model.compile()`, once for each size of batch, and `torch.compile(optimizer.step)`."""

    compiles = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        require_compiler(self._device)
        on_cuda = self._device.type == "cuda"
        if on_cuda:  # how its convolutions are fastest; on a CPU it gained nothing
            self._model.to(memory_format=torch.channels_last)
        how = {"mode": "reduce-overhead"} if on_cuda else {"options": _RIGHT_ON_CPUS}
        self._model.compile(dynamic=False, fullgraph=True, **how)
        if not isinstance(
            self._optimizer, AdamBeforeCorrection
        ):  # its rate is Python's, another in every step
            self._update = torch.compile(self._update, dynamic=False)

    def predict(self, images: contract.Images) -> contract.Logits:
        """A call per batch: a CUDA graph's logits lie in the same memory every time, so that each is read at once."""
        starts, size = range(0, len(images), contract.PREDICTION_BATCH), contract.PREDICTION_BATCH
        return np.concatenate(
            [super(PyTorchCompiled, self).predict(images[at : at + size]) for at in starts]
        )


def require_compiler(device: torch.device) -> None:
    """Let no graph silently stay eager, and compile next to nothing; raises `Unsupported` where that fails.

    On a CPU it takes a C++ compiler, on a GPU Triton and a C compiler.
    """
    torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = (
        _MOST_GRAPHS
    )
    torch._dynamo.config.fail_on_recompile_limit_hit = True
    try:
        torch.compile(torch.exp)(torch.ones(2, device=device))
    except (RuntimeError, OSError) as error:  # PyTorch's own errors are RuntimeErrors
        why = str(error).strip().partition("\n")[0]
        raise Unsupported(
            f"torch.compile does not work here: {type(error).__name__}: {why}"
        ) from error
