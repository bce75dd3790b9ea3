"""Lists, pages of help, and pipes whose reader has closed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.command.arguments import run_folder
from bench.records.stored import write
from bench.report.chart.files import vega
from tests.support.records import make_record


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


def test_the_name_of_a_file_cannot_control_the_terminal(bench, tmp_path):
    name = "a\x1b[2J\x9b1m\u202eb"
    (tmp_path / "run" / "jobs").mkdir(parents=True)
    (tmp_path / "run" / "jobs" / f"{name}.json").touch()
    write(tmp_path / "run" / "jobs", make_record())
    for arguments in (("report", "run"), ("export", "run"), ("show", f"{name}.json")):
        _, out, errors = bench(*arguments)
        assert r"a\u001b[2J\u009b1m\u202eb.json" in errors
        assert not re.search("[\x00-\x09\x0b-\x1f\x7f-\x9f\u202e]", out + errors)


@pytest.fixture
def homeless(monkeypatch):
    """A user as containers have them: without HOME and without an entry in /etc/passwd."""

    def unknown(uid):
        raise KeyError(uid)

    for name in ("HOME", "USER", "LOGNAME", "LNAME", "USERNAME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.mark.usefixtures("homeless")
def test_without_a_home_folder_the_cache_is_named_or_it_is_said_how(bench, monkeypatch, tmp_path):
    assert bench("data")[0] == 0
    write(tmp_path / "run" / "jobs", make_record())
    monkeypatch.delenv("FRAMEWORK_BENCH_CACHE")
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    code, out, errors = bench("data")
    assert (code, out) == (2, "")
    assert errors == (
        "bench: there is no home folder for the cache: HOME is not set\n"
        "  hint: name a folder with the variable FRAMEWORK_BENCH_CACHE\n"
    )
    assert bench("report", "run", "--anonymous")[0] == 0
    monkeypatch.setattr("vl_convert.javascript_bundle", lambda _: "a script")
    assert vega() == "a script"
