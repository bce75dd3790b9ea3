"""Fixtures that tests share: data sets in a cache of their own, the frameworks' environments, and the command."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bench.cli import main
from bench.data import DataSet, materialise
from bench.environments import Environments
from bench.sources import Places
from specs.loading import find_workload
from tests.support.jobs import FRAMEWORKS


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
