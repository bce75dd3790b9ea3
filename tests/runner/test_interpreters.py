"""Finding another Python: on PATH, of pyenv, of conda, of uv; and the line to type for none."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from bench.runner import interpreters
from bench.runner.environments import Environments, InstallError

OURS = "{}.{}".format(*sys.version_info[:2])


def program(path: Path, version: str, *, complete=True):
    """A program that answers as a Python of this version; one that is not complete fails."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{'echo ' + version if complete else 'exit 1'}\n")
    path.chmod(0o755)
    return path


@pytest.fixture
def empty(monkeypatch, tmp_path):
    """A machine without any other Python."""
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("PYENV_ROOT", str(tmp_path / "pyenv"))
    monkeypatch.delenv("CONDA_EXE", raising=False)
    interpreters.find_python.cache_clear()
    yield tmp_path
    interpreters.find_python.cache_clear()


def test_the_benchs_own_python_is_taken_where_it_is_one_of_them(empty):
    assert interpreters.find_python(("2.7", OURS)) == Path(sys.executable)
    assert interpreters.find_python(("2.7",)) is None


def test_a_program_on_path_must_answer_with_its_version_and_have_venv(empty):
    program(empty / "bin" / "python2.7", "2.7", complete=False)  # pyenv's, without that version
    assert interpreters.find_python(("2.7",)) is None
    interpreters.find_python.cache_clear()
    newest = program(empty / "pyenv" / "versions" / "2.7.18" / "bin" / "python", "2.7")
    program(empty / "pyenv" / "versions" / "2.8.1" / "bin" / "python", "2.9")
    assert interpreters.find_python(("2.8", "2.7")) == newest


def test_environments_of_conda_and_the_builds_of_uv_are_found(empty, monkeypatch):
    in_conda = program(empty / "envs" / "old" / "bin" / "python2.7", "2.7")
    answer = json.dumps({"envs": [str(empty), str(empty / "envs" / "old")]})
    conda = program(empty / "conda", "")
    conda.write_text(f"#!/bin/sh\necho '{answer}'\n")
    monkeypatch.setenv("CONDA_EXE", str(conda))
    assert interpreters.find_python(("2.7",)) == in_conda
    of_uv = program(empty / "uvs" / "python", "2.6")
    program(empty / "bin" / "uv", str(of_uv))
    assert interpreters.find_python(("2.6",)) == of_uv


@pytest.mark.parametrize(
    ("versions", "line"),
    [(("3.9", "3.8"), "uv python install 3.9"), (("3.6",), "pyenv install 3.6")],
)
def test_without_one_the_error_has_the_line_to_type(empty, monkeypatch, tmp_path, versions, line):
    from bench.runner import environments

    spec = next(iter(environments.ENVIRONMENTS.values()))
    old = type(spec)(engine="", requirements=(), versions=("old",), pythons=versions)
    monkeypatch.setattr(environments, "ENVIRONMENTS", {"old": old})
    with pytest.raises(InstallError) as caught:
        Environments(folder=tmp_path / "made").create("old", cuda=None, say=print)
    assert versions[0] in str(caught.value)
    assert caught.value.hint.startswith(line)
    assert not (tmp_path / "made").exists()
