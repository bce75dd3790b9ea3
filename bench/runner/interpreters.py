"""Finds an installed Python of a certain version: an old framework needs an old one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

from bench.machine import guard

# The oldest Python that uv has builds of.
_UVS_OLDEST = (3, 8)
# A program on PATH may be a script of pyenv that only says what to type; and Debian has `venv`, or
# the pip in it, in a package of its own.
_CHECK = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
_SECONDS = 20.0  # for one program to answer
_MOST_BYTES = 1_000_000  # of an answer
_END_BYTES = 10_000  # of what is kept of standard error: a traceback


@cache
def find_python(versions: tuple[str, ...]) -> Path | None:
    """The first Python that can make a virtual environment, in the order of the versions.

    Searched are this Python, PATH, and the folders of pyenv, conda and uv. None if there is none.

    Args:
        versions: such as ("3.9", "3.8").
    """
    for version in versions:
        if version == "{}.{}".format(*sys.version_info[:2]):
            return Path(sys.executable)
        for candidate in _candidates(version):
            if _answer([str(candidate), "-I", "-c", _CHECK]).strip() == version:
                return candidate
    return None


def how_to_install(versions: Sequence[str]) -> str:
    """The line that installs the best of these versions."""
    best = versions[0]
    if tuple(map(int, best.split("."))) >= _UVS_OLDEST:
        return f"uv python install {best}    (or: pyenv install {best})"
    return f"pyenv install {best}    (or: conda create --name python{best} python={best})"


def _candidates(version: str) -> Iterator[Path]:
    """The programs that may be this version of Python."""
    program = f"python{version}"
    folders = os.environ.get("PATH", os.defpath).split(os.pathsep)
    yield from (Path(folder) / program for folder in folders if (Path(folder) / program).is_file())
    with suppress(RuntimeError):  # there is no home folder
        pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv")
        yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    if conda := os.environ.get("CONDA_EXE") or shutil.which("conda"):
        yield from _of_conda(conda, program)
    if uv := shutil.which("uv"):
        found = _answer([uv, "python", "find", "--no-project", "--offline", version]).strip()
        yield from [Path(found)] if found else []


def _of_conda(conda: str, program: str) -> list[Path]:
    """The programs of this name in conda's environments."""
    try:
        folders = json.loads(_answer([conda, "env", "list", "--json"]))["envs"]
    except (ValueError, KeyError, TypeError):
        return []
    paths = [Path(folder) / "bin" / program for folder in folders if isinstance(folder, str)]
    return [path for path in paths if path.is_file()]


def _answer(command: list[str]) -> str:
    """What a program prints; "" if it fails, or takes too long."""
    try:
        return ask(command, _SECONDS)
    except NoAnswerError:
        return ""


class NoAnswerError(Exception):
    """A program did not answer; the text says why."""


class FailedError(NoAnswerError):
    """A program failed.

    Attributes:
        lines: the end of what it wrote to standard error.
    """

    def __init__(self, code: int, errors: bytes) -> None:
        super().__init__(f"fails with exit code {code}")
        self.lines = errors.decode(errors="replace").strip().splitlines()


def ask(command: Sequence[str], seconds: float, variables: Mapping[str, str] | None = None) -> str:
    """What a program prints. It is killed when it takes too long, or has printed too much.

    Args:
        command: the program and its arguments.
        seconds: how long it may take.
        variables: its environment; None for that of this process.

    Raises:
        NoAnswerError: it cannot be started, takes longer, or prints more than 1 MB.
        FailedError: it fails.
    """
    try:
        mark = guard.mark_of("question")
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**(os.environ if variables is None else variables), guard.VARIABLE: mark},
            start_new_session=True,
        )
    except (OSError, ValueError) as error:
        raise NoAnswerError(f"cannot be started: {error}") from error
    with process:
        content, errors, is_late = _outputs(process, seconds)
    if is_late:
        raise NoAnswerError(f"does not answer within {seconds:g} s")
    if len(content) > _MOST_BYTES:
        raise NoAnswerError(f"prints more than {_MOST_BYTES / 1e6:g} MB")
    if process.returncode:
        raise FailedError(process.returncode, errors)
    return content.decode(errors="replace")


def _outputs(process: subprocess.Popen[bytes], seconds: float) -> tuple[bytes, bytes, bool]:
    """What a process prints, the end of its errors, and whether it took too long; it is killed."""
    is_late, errors = threading.Event(), bytearray()

    def end() -> None:
        is_late.set()
        guard.kill_group(process)

    def keep_errors() -> None:
        while process.stderr and (part := process.stderr.read(_END_BYTES)):
            errors.extend(part)
            del errors[:-_END_BYTES]

    timer, reader = threading.Timer(seconds, end), threading.Thread(target=keep_errors)
    timer.start()
    reader.start()
    try:
        content = process.stdout.read(_MOST_BYTES + 1) if process.stdout else b""
        if len(content) <= _MOST_BYTES:
            process.wait()
    finally:
        timer.cancel()
        guard.kill_group(process)  # also helpers that it has left
        reader.join()
    return content, bytes(errors), is_late.is_set()
