"""The wheel holds all that a user needs, and works in any folder of any environment."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from bench.command.parser import make_parser
from bench.records.files import PROJECT
from tests.support.command import QUICK

OURS = ("backends", "bench", "specs")


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps"]
    subprocess.run([*pip, f"--wheel-dir={folder}", PROJECT], check=True)
    [path] = folder.iterdir()
    return path


@pytest.fixture
def names(wheel):
    return zipfile.ZipFile(wheel).namelist()


def test_the_wheel_holds_every_file_of_our_packages_and_no_other(names):
    ours = {
        path.relative_to(PROJECT).as_posix()
        for package in OURS
        for path in (PROJECT / package).rglob("*")
        if path.is_file() and path.suffix in (".py", ".json", ".css", ".js", ".j2")
    }
    named = {"bands.json", "schema.json", "suites/smoke.json", "workloads/cnn.json"}
    assert {f"specs/{name}" for name in named} <= ours
    assert {name for name in names if ".dist-info/" not in name} == ours


def test_what_users_share_has_ranges_that_hold_the_versions_of_our_tests(wheel, names):
    [path] = [name for name in names if name.endswith("/METADATA")]
    metadata = email.message_from_bytes(zipfile.ZipFile(wheel).read(path))
    ranges = [Requirement(text) for text in metadata.get_all("Requires-Dist")]
    for requirement in ranges:
        assert {each.operator for each in requirement.specifier} == {">=", "<"}, requirement
    lines = (PROJECT / "constraints.txt").read_text().splitlines()
    exact = dict(line.split("==") for line in lines if not line.startswith("#"))
    assert {requirement.name for requirement in ranges} == {*exact}
    assert all(requirement.specifier.contains(exact[requirement.name]) for requirement in ranges)


def test_the_commands_of_the_notebook_are_commands_of_the_bench():
    cells = json.loads((PROJECT / "docs" / "colab.ipynb").read_text())["cells"]
    [install, run] = ["".join(cell["source"]) for cell in cells]
    assert "%pip install" in install
    [line] = [line for line in run.splitlines() if line.startswith("!bench ")]
    options = make_parser().parse_args(line.partition(" 2>&1")[0].split()[1:])
    assert options.python[0][0] == "all"


@pytest.fixture
def installed(wheel, tmp_path):
    """The folder of the commands of a new environment with the wheel.

    What it depends on is that of the tests, so that nothing is downloaded.
    """
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    bin_folder = environment / "bin"
    pip = [sys.executable, "-m", "pip", "--python", bin_folder / "python", "install", "--quiet"]
    subprocess.run([*pip, "--no-deps", wheel], check=True)
    [packages] = (environment / "lib").glob("python*/site-packages")
    (packages / "tests.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return bin_folder


@pytest.mark.slow
def test_the_wheel_runs_in_a_folder_of_the_user_and_makes_environments_in_the_cache(
    installed, tmp_path
):
    """The toy's environment has none of our packages, and its package lies beside the bench's."""
    folder = tmp_path / "folder"
    for name in OURS:  # the user's own
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text("raise SystemExit('this is the user's')\n")
    variables = {
        **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
        "FRAMEWORK_BENCH_CACHE": str(tmp_path / "cache"),
    }

    def call(*command):
        return subprocess.run(
            command, cwd=folder, env=variables, capture_output=True, text=True, check=False
        )

    where = call(installed / "python", "-P", "-c", "import bench; print(bench.__file__)").stdout
    assert Path(where).is_relative_to(installed.parent)  # else this is no test of the wheel
    made = call(installed / "bench", "environment", "create", "toy")
    assert made.returncode == 0, made.stderr
    assert (tmp_path / "cache" / "environments" / "toy" / "bin" / "python").is_file()
    names = "reference,toy"
    done = call(installed / "bench", "run", *QUICK, "--backend", names)
    assert done.returncode == 0, done.stderr
    assert {path.name.split(".")[1] for path in folder.glob("results/softmax/jobs/*.json")} == {
        "reference",
        "toy",
    }
    assert "framework-bench" in (folder / "results" / "softmax" / "report.html").read_text()
