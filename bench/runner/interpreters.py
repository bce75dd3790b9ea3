"""Finds an installed Python of a certain version: an old framework needs an old one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from bench.machine import guard

# The oldest Python that uv has builds of.
_UVS_OLDEST = (3, 8)
# A program on PATH may be a script of pyenv that only prints a hint. Debian has `venv`, or the pip
# in it, in a separate package.
_CHECK = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
_SECONDS = 20.0  # for one program to answer
_MOST_BYTES = 1_000_000  # of an answer
_END_BYTES = 10_000  # of the kept end of standard error: a traceback
_END_SECONDS = 1.0  # to read the rest of the output after a program has ended


@cache
def find_python(versions: tuple[str, ...]) -> Path | None:
    """The first Python that can make a virtual environment, in the order of the versions.

    Searches this Python, PATH, and the folders of pyenv, conda and uv. None if there is none.

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
        answer = _answer([uv, "python", "find", "--no-project", "--offline", version]).strip()
        yield from [Path(answer)] if answer else []


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
    """The output of a program, which is killed if it takes too long or prints too much.

    Args:
        command: the program and its arguments.
        seconds: how long it may take.
        variables: its environment; None for this process's environment.

    Raises:
        NoAnswerError: the program cannot be started, takes longer, or prints more than 1 MB.
        FailedError: the program fails.
    """
    try:
        mark = guard.mark_of(uuid.uuid4().hex)
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
    content, errors, is_late = _outputs(process, seconds, mark)
    if is_late:
        raise NoAnswerError(f"does not answer within {seconds:g} s")
    if len(content) > _MOST_BYTES:
        raise NoAnswerError(f"prints more than {_MOST_BYTES / 1e6:g} MB")
    if process.returncode:
        raise FailedError(process.returncode, errors)
    return content.decode(errors="replace")


def _outputs(
    process: subprocess.Popen[bytes], seconds: float, mark: str
) -> tuple[bytes, bytes, bool]:
    """The output of a process, the end of its errors, and whether it took too long; kills it."""
    outputs = {process.stdout: bytearray(), process.stderr: bytearray()}
    readers = {
        stream: threading.Thread(target=_keep, args=(process, stream, output), daemon=True)
        for stream, output in outputs.items()
    }
    for reader in readers.values():
        reader.start()
    try:
        process.wait(seconds)
        is_late = False
    except subprocess.TimeoutExpired:
        is_late = True
    finally:
        guard.kill_group(process)  # also the helpers that it left behind
        process.wait()
    for stream, reader in readers.items():
        reader.join(_END_SECONDS)
        if reader.is_alive():  # a helper in another session has the stream open
            guard.end_marked(mark)
            reader.join(_END_SECONDS)
        if stream and not reader.is_alive():  # else closing it would wait for the helper
            stream.close()
    answer, errors = outputs.values()
    return bytes(answer), bytes(errors), is_late


def _keep(process: subprocess.Popen[bytes], stream: IO[bytes], output: bytearray) -> None:
    """Read a stream of a process to its end; of standard error, only the end is kept."""
    while part := stream.read(_END_BYTES):
        output.extend(part)
        if stream is process.stderr:
            del output[:-_END_BYTES]
        elif len(output) > _MOST_BYTES:
            guard.kill_group(process)
            return
