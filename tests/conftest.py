"""What tests share: jobs, data sets in a cache of their own, the frameworks' environments, and the command."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.contract import Job
from backends.registry import BACKENDS
from bench.cli import main
from bench.data import DataSet, materialise
from bench.environments import Environments
from bench.sources import Places
from specs.loading import find_workload
from specs.model import Workload

FRAMEWORKS = tuple(name for name, backend in BACKENDS.items() if backend.default)
VARIANTS = tuple(name for name, backend in BACKENDS.items() if backend.variant_of)


def make_job(workload: Workload | str = "softmax", **changes) -> Job:
    """A small CPU job; `changes` replaces any of its fields."""
    spec = find_workload(workload) if isinstance(workload, str) else workload
    fields = {
        "workload": spec,
        "dataset": "mnist-5k",
        "mode": "matched",
        "backend": "reference",
        "device": "cpu",
        "threads": 1,
        "seed": 0,
        "precision": "float32",
        "compiled": False,
        "deterministic": False,
        "epochs": 1,
        "batch_size": 32,
        "round": 0,
    }
    return Job(**{**fields, **changes})


def pytest_benchmark_update_commit_info(config, commit_info) -> None:
    """Saved figures name the project, and not the folder that it lay in."""
    commit_info |= {"project": "framework-bench", "branch": "(unknown)"}


@pytest.fixture(scope="session")
def places(tmp_path_factory) -> Places:
    return Places(directory=None, cache=tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def mnist_5k(places) -> DataSet:
    return materialise("mnist-5k", find_workload("softmax").input, places)


@pytest.fixture(scope="session")
def environments() -> Environments:
    """The frameworks' environments; what is missing fails with the line to type, never skips."""
    found = Environments()
    for backend in FRAMEWORKS:
        found.require(backend)
    return found


@pytest.fixture
def bench(tmp_path, monkeypatch, capsys):
    """The command, in an empty folder: returns its exit code, standard output and standard error."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMEWORK_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FRAMEWORK_BENCH_DATA", raising=False)

    def call(*arguments: str) -> tuple[int, str, str]:
        try:
            code = main(list(arguments))
        except SystemExit as stopped:  # argparse's own way to say what is wrong with an option
            code = int(stopped.code or 0)
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture(scope="session")
def full_mnist() -> Path:
    folder = os.environ.get("FRAMEWORK_BENCH_DATA")
    if not folder:
        pytest.skip("needs MNIST's own files: name their folder with FRAMEWORK_BENCH_DATA")
    return Path(folder)


def run_python(code: str, *, python: str = sys.executable) -> str:
    """What a fresh interpreter prints."""
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, check=True)
    return done.stdout
