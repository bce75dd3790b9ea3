"""A worker's lines and its outcome, and its end when nobody reads the lines any more."""

from __future__ import annotations

import pytest

from bench.records.files import PROJECT
from bench.runner.environments import Environments
from bench.worker.lines import End, Settings
from bench.worker.tell import Diverged, work_and_tell
from tests.support.lines import read_lines
from tests.support.processes import run_python

LINE = Settings(settings={"threads": 1})


def test_an_exception_becomes_an_end_after_the_lines_that_were_told(tmp_path):
    def work(tell):
        tell(LINE)
        raise Diverged("epoch 2: test loss nan")

    work_and_tell(tmp_path / "lines", "a", work)
    first, end = read_lines(tmp_path / "lines", "a")
    assert first == LINE
    assert isinstance(end, End)
    assert (end.status, end.reason, end.traceback) == ("diverged", "epoch 2: test loss nan", "")


def test_a_worker_whose_parent_has_ended_stops_at_its_next_line(tmp_path, monkeypatch):
    parents = iter([7, 7, 1])  # at the start, at the first line, at the second
    monkeypatch.setattr("os.getppid", lambda: next(parents))

    def work(tell):
        tell(LINE)
        tell(LINE)
        pytest.fail("it went on")

    with pytest.raises(SystemExit):
        work_and_tell(tmp_path / "lines", "a", work)
    assert read_lines(tmp_path / "lines", "a") == [LINE]


def status_of(error, folder):
    """The status of a job that ends with this error."""

    def work(_):
        raise error

    work_and_tell(folder / "lines", "a", work)
    [end] = read_lines(folder / "lines", "a")
    return end.status


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "out of memory"),
        (RuntimeError("CUDA error: out of memory"), "out of memory"),
        (RuntimeError("CUDA_ERROR_OUT_OF_MEMORY"), "out of memory"),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), "out of memory"),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), "failed"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_NOT_INITIALIZED"), "failed"),
        (ValueError("shapes (2,3) and (4,5) not aligned"), "failed"),
    ],
    ids=str,
)
def test_an_error_says_out_of_memory_by_its_type_or_by_its_text(error, expected, tmp_path):
    assert status_of(error, tmp_path) == expected


# What the frameworks raise on GPUs, by their own classes; and, on the CPU, by an array that no
# machine has room for.
_ERRORS = {
    "torch": """
import torch
errors = [
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    torch.AcceleratorError("CUDA error: out of memory"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
    caught(lambda: torch.empty(2**47)),
]
others = [torch.AcceleratorError("CUDA error: an illegal memory access was encountered")]
""",
    "jax": """
import jax
errors = [
    jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 GiB"),
    caught(lambda: jax.numpy.ones(2**47, "float32").block_until_ready()),
]
others = [jax.errors.JaxRuntimeError("INTERNAL: the kernel failed")]
""",
    "tensorflow": """
import tensorflow as tf
errors = [
    tf.errors.ResourceExhaustedError(None, None, "failed to allocate memory"),
    caught(lambda: tf.ones([2**47])),
]
others = [tf.errors.InternalError(None, None, "the kernel failed")]
""",
}
_TELL = """
import sys
sys.path.insert(0, {project!r})
from bench.worker.tell import _is_out_of_memory
def caught(work):
    try:
        work()
    except Exception as error:
        return error
{framework}
for error in errors + others:
    print(_is_out_of_memory(error), type(error).__name__, str(error)[:80].replace(chr(10), " "))
"""


@pytest.mark.framework
@pytest.mark.parametrize("name", list(_ERRORS))
def test_every_frameworks_own_error_for_too_little_memory_is_known(name):
    python = Environments().python(name)
    assert python is not None, f"bench environment create {name}"
    code = _TELL.format(project=str(PROJECT), framework=_ERRORS[name])
    *known, other = run_python(code, python=str(python)).strip().splitlines()
    assert known, "nothing was raised"
    assert [line for line in known if not line.startswith("True ")] == []
    assert other.startswith("False ")
