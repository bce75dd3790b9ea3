"""PyTorch through `torch.compile`: the eager adapter with the compiler on."""

from __future__ import annotations

import torch

from backends.contract import Job, Unsupported
from backends.pytorch import PyTorch

_MOST_GRAPHS = 1000  # one per size of batch and mode; in a proof, which builds many models in one process, hundreds


class PyTorchCompiled(PyTorch):
    """`model.compile()`; the optimizer's step stays as it is. Each size of batch is compiled once."""

    compiles = True

    def __init__(self, job: Job) -> None:
        super().__init__(job)
        _try_compiler(self._device)
        # What is not compiled, or no longer, is an error, and not silently eager.
        torch._dynamo.config.recompile_limit = torch._dynamo.config.accumulated_recompile_limit = _MOST_GRAPHS
        torch._dynamo.config.fail_on_recompile_limit_hit = True
        self._model.compile(dynamic=False, fullgraph=True)


def _try_compiler(device: torch.device) -> None:
    """Compile next to nothing: on a CPU that takes a C++ compiler, on a GPU Triton and a C compiler."""
    try:
        torch.compile(torch.exp)(torch.ones(2, device=device))
    except (RuntimeError, OSError) as error:  # PyTorch's own errors are RuntimeErrors
        why = str(error).strip().partition("\n")[0]
        raise Unsupported(f"torch.compile does not work here: {type(error).__name__}: {why}") from error
