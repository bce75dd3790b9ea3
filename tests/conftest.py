"""Fixtures that tests share: data sets in their own cache, the environments, and the command."""

from __future__ import annotations

import os
from functools import cache
from pathlib import Path

# One thread for NumPy's products here: on matrices as small as those of tests, OpenBLAS's threads
# mostly wait for each other. It reads this once; processes that tests start see what they always
# see.
os.environ["OPENBLAS_NUM_THREADS"] = "1"
import numpy as np  # noqa: F401

del os.environ["OPENBLAS_NUM_THREADS"]

import pytest

from bench.command import run
from bench.command.cli import main
from bench.data import cache as data_cache
from bench.data.cache import materialise
from bench.data.dataset import DataSet, Places
from bench.data.derived import draw_synthetic, read_mnist_5k
from bench.records.limits import EngineLimits
from bench.records.stored import write
from bench.runner.environments import Environments, InstallError
from bench.runner.tasks import run_tasks
from bench.worker.assignment import MeasureLimits
from specs.loading import find_workload
from tests.support.jobs import FRAMEWORKS


def pytest_benchmark_update_commit_info(config, commit_info) -> None:
    """Saved figures name the project, and not the folder that it lay in."""
    commit_info |= {"project": "framework-bench", "branch": "(unknown)"}


def pytest_collection_modifyitems(items) -> None:
    """The fast part, `-m "not framework"`, leaves out what is slow, too."""
    for item in items:
        if item.get_closest_marker("slow"):
            item.add_marker("framework")


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


@pytest.fixture(scope="session")
def course_environment(environments):
    """A function: the interpreter of a backend that runs only when named.

    Its test is skipped, with the line to type, where it is not installed, as its Python or Java may
    be hard to get; it fails where FRAMEWORK_BENCH_TEST_ALL is set, as in CI.
    """

    def require(backend: str) -> Path:
        try:
            return environments.require(backend)
        except InstallError as error:
            if os.environ.get("FRAMEWORK_BENCH_TEST_ALL"):
                raise
            pytest.skip(f"{error.problem}: {error.hint}")

    return require


read_once, draw_once = cache(read_mnist_5k), cache(draw_synthetic)


@pytest.fixture
def arrays_once(monkeypatch) -> None:
    """Make the arrays of mnist-5k and synthetic ones once: verifying asks for them 30 times."""
    monkeypatch.setattr(data_cache, "read_mnist_5k", lambda: dict(read_once()))
    monkeypatch.setattr(data_cache, "draw_synthetic", lambda spec: dict(draw_once(spec)))


@pytest.fixture(scope="session")
def measured() -> dict[str, EngineLimits]:
    """Limits that runs of this session have measured, by key."""
    return {}


@pytest.fixture
def whole() -> None:
    """For a test of what `bench` makes cheap: its runs measure and draw all that users' do."""


@pytest.fixture
def bench(request, tmp_path, monkeypatch, capsys, measured):
    """The command, in an empty folder: returns its exit code, standard output and standard error.

    What takes longer than all else that a small run does is made cheap: an engine's limits are
    measured by the session's first run and taken by the others, arrays are made once, and charts
    have nothing drawn in them. Turns are few and short, and so a waiting process may use
    more of a core. Not so in tests that ask for `whole`.
    """
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FRAMEWORK_BENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("FRAMEWORK_BENCH_DATA", raising=False)
    if "whole" not in request.fixturenames:
        request.getfixturevalue("arrays_once")
        make_cheap(monkeypatch, measured)

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


def make_cheap(monkeypatch, measured: dict[str, EngineLimits]) -> None:
    from bench.report.document import write as document

    def run_once(tasks, folder, machine, make_record, *, reused=None, **options):
        """Run tasks, but measure the limits of an engine once in all tests."""
        limits = any(isinstance(task.assignment, MeasureLimits) for task in tasks)
        if limits:
            reused = {task.key: measured[task.key] for task in tasks if task.key in measured}
            for record in reused.values():
                write(folder, record)
        records = run_tasks(tasks, folder, machine, make_record, reused=reused, **options)
        if limits:
            measured.update({record.key: record for record in records})
        return records

    monkeypatch.setattr(run, "run_tasks", run_once)
    monkeypatch.setattr("bench.runner.turns._SECONDS", 0.1)
    monkeypatch.setattr("bench.runner.turns._SWEEP_SECONDS", 0.2)
    monkeypatch.setattr("bench.runner.turns._MOST_SWEEPS", 9)
    monkeypatch.setattr("bench.records.turns.MOST_WAITING", 0.5)
    monkeypatch.setattr(document, "svgs_of", lambda chart: ["<svg></svg>"] * len(chart.panels))
    monkeypatch.setattr(document, "write_chart", lambda chart, svgs, folder: None)
    monkeypatch.setattr(document, "vega", lambda: "")
