"""Finding another Python: on PATH, of pyenv, of conda, of uv; and the line to type for none."""

from __future__ import annotations

import json
import sys
import time
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


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("while True: pass", "does not answer within 0.5 s"),
        ("import os, time\nos.fork(); time.sleep(60)", "does not answer within 0.5 s"),
        ("while True: print('x' * 1000)", "prints more than 1 MB"),
        ("raise SystemExit(3)", "fails with exit code 3"),
        ("import os; os.kill(os.getpid(), 9)", "fails with exit code -9"),
    ],
)
def test_a_program_that_does_not_answer_is_killed_with_its_helpers(text, reason):
    started = time.monotonic()
    with pytest.raises(interpreters.NoAnswerError, match=reason):
        interpreters.ask([sys.executable, "-c", text], 0.5)
    assert time.monotonic() - started < 5


def test_a_program_that_cannot_be_started_does_not_answer(tmp_path):
    (tmp_path / "program").write_bytes(b"\x7fELF")
    (tmp_path / "program").chmod(0o755)
    for name in ("program", "nothing"):
        with pytest.raises(interpreters.NoAnswerError, match="cannot be started"):
            interpreters.ask([str(tmp_path / name)], 0.5)


def test_the_end_of_what_a_program_says_on_its_failure_is_kept():
    text = "import sys; sys.stderr.write('x' * 50_000_000 + '\\nOSError: no GPU\\n'); sys.exit(3)"
    with pytest.raises(interpreters.FailedError) as failed:
        interpreters.ask([sys.executable, "-c", text], 30)
    assert failed.value.lines[-1] == "OSError: no GPU"
    assert len(failed.value.lines[0]) < 10_000


@pytest.mark.parametrize("session", ["", "os.setsid(); "])
@pytest.mark.parametrize("kept", [1, 2])
def test_a_helper_that_a_program_leaves_does_not_delay_its_answer(kept, session):
    """Also one in a session of its own, with one of the program's streams."""
    helper = "import os, time\nif not os.fork(): {}os.close({}); time.sleep(300)\nprint(1)"
    code = helper.format(session, 3 - kept)
    # A second, so that the helper has its own session before the program ends.
    command = [sys.executable, "-c", f"{code}\ntime.sleep(1)"]
    started = time.monotonic()
    assert interpreters.ask(command, 60).strip() == "1"
    assert time.monotonic() - started < 50
