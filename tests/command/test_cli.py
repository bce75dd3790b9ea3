"""Lists, pages of help, and pipes whose reader has closed."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from bench.command.arguments import run_folder


def test_lists_and_pages_of_help_name_what_there_is(bench):
    _, output, _ = bench("list")
    output_of_list = output
    for name in (
        "quick",
        "smoke",
        "course",
        "cnn",
        "mlp-relu",
        "softmax",
        "pytorch",
        "keras-tensorflow",
        "mnist-5k",
    ):
        assert name in output
    _, output, _ = bench("show", "cnn")
    assert "1,192,042" in output
    assert "99.23 %" in output
    assert "untested: mps" in output_of_list
    code, output, _ = bench("data")
    assert code == 0
    assert "not found" in output


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m bench list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "suites\n"
    assert done.stderr == ""


def test_without_a_command_the_help_is_shown(bench):
    code, output, _ = bench()
    assert code == 0
    assert "examples:" in output


def test_the_version_is_that_of_the_package(bench):
    from importlib.metadata import version

    assert bench("--version")[:2] == (0, f"bench {version('framework-bench')}\n")


def test_a_run_is_named_by_its_path_its_name_or_its_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "results" / "quick").mkdir(parents=True)
    (tmp_path / "results" / "quick" / "report.html").touch()
    quick = Path("results/quick")
    assert run_folder("quick") == run_folder("results/quick") == quick
    assert run_folder("results/quick/report.html") == quick
    assert run_folder("nowhere") == Path("nowhere")
    (tmp_path / "quick").mkdir()  # what is typed comes first
    assert run_folder("quick") == Path("quick")
