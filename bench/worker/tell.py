"""Writes a worker's lines as they come, and then its outcome, whatever it is."""

from __future__ import annotations

import os
import re
import traceback
from collections.abc import Callable
from pathlib import Path

from backends.contract import Unsupported
from bench.worker import clock
from bench.worker.lines import End, Line, Status, encode_line

Tell = Callable[[Line], None]
Work = Callable[[Tell], Callable[[Tell], None] | None]
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")  # Keras colours its errors
_LONGEST_REASON = 300  # characters; the traceback has the rest
# The types of frameworks' errors when memory runs out.
_OUT_OF_MEMORY_TYPES = frozenset({"MemoryError", "OutOfMemoryError", "ResourceExhaustedError"})
# Other errors say it only in their text, in small or capital letters.
_OUT_OF_MEMORY_TEXTS = (
    "resource_exhausted",  # JAX
    "out of memory",  # CUDA's driver: "CUDA error: out of memory" (torch.AcceleratorError)
    "out_of_memory",  # CUDA_ERROR_OUT_OF_MEMORY
    "alloc_failed",  # cuBLAS and cuDNN: CUBLAS_STATUS_ALLOC_FAILED
    "allocation_failed",  # CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED
    "can't allocate memory",  # PyTorch's allocator for CPUs
)


class Diverged(Exception):  # noqa: N818 - not an error of the program: an outcome of a job
    """A loss or a logit is not finite."""


def work_and_tell(lines_path: Path, mark: str, work: Work) -> None:
    """Do the work, write its lines, and write an `End` whatever its outcome is.

    The process ends without an `End` when its parent has ended, as nobody reads the lines then.

    Args:
        lines_path: the file to append to.
        mark: see `bench.worker.lines.encode_line`.
        work: is called with the function that writes a line. If it returns a function, this is
            called in the same way after the `End`; its errors end the process.
    """
    parent = os.getppid()
    with lines_path.open("ab", buffering=0) as file:

        def tell(line: Line) -> None:
            if os.getppid() != parent:
                raise SystemExit
            file.write(encode_line(mark, line))

        status, reason, details, go_on = _outcome(work, tell)
        tell(End(status=status, reason=reason, traceback=details, cpu_seconds=clock.cpu_seconds()))
        if go_on is not None:
            go_on(tell)


def one_line(error: Exception) -> str:
    """An error in one line, for a record's reason: its type and its first line, without colours."""
    text = _ESCAPES.sub("", str(error)).strip().partition("\n")[0]
    return f"{type(error).__name__}: {text[:_LONGEST_REASON]}"


def _outcome(work: Work, tell: Tell) -> tuple[Status, str, str, Callable[[Tell], None] | None]:
    """Do the work; returns status, reason, traceback, and the function to call afterwards."""
    try:
        go_on = work(tell)
    except Unsupported as error:
        return "unsupported", str(error), "", None
    except Diverged as error:
        return "diverged", str(error), "", None
    except Exception as error:  # noqa: BLE001 - whatever a framework raises has a record
        status: Status = "out of memory" if _is_out_of_memory(error) else "failed"
        return status, one_line(error), traceback.format_exc(), None
    return "ok", "", "", go_on


def _is_out_of_memory(error: Exception) -> bool:
    names = {kind.__name__ for kind in type(error).__mro__}
    text = str(error).lower()
    return bool(names & _OUT_OF_MEMORY_TYPES) or any(each in text for each in _OUT_OF_MEMORY_TEXTS)
