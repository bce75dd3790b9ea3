"""A job is verified by the programs that were timed: verifying it compiles none."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from backends.registry import entry
from bench.records.files import PROJECT

COMPILED = (
    "keras-tensorflow",
    "keras-jax",
    "pytorch-compiled",
    "tensorflow",
    "jax",
    "keras-tensorflow-tuned",
    "tensorflow-xla",
)


@pytest.mark.framework
@pytest.mark.parametrize("backend", COMPILED)
def test_verifying_a_job_compiles_nothing(backend, environments, mnist_5k, tmp_path):
    """With dropout, a partial batch, and where it can be several steps in a call."""
    chosen = entry(backend)
    command = [environments.require(backend), "-m", "tests.support.compilations"]
    done = subprocess.run(
        [*command, backend, "mlp-relu-dropout", mnist_5k.folder, tmp_path],
        env={**os.environ, **chosen.variables, "PYTHONPATH": str(PROJECT)},
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    counts = json.loads(done.stdout.splitlines()[-1])
    print(backend, counts)
    assert counts["epochs"] > 0
    assert counts["verification"] == 0
    assert counts["short epoch"] == 0
    assert counts["deviation"] <= 0.5
