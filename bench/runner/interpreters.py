"""Finds an installed Python of a certain version: an old framework needs an old one."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path

# The oldest Python that uv has builds of.
_UVS_OLDEST = (3, 8)
# A program on PATH may be a script of pyenv that only says what to type; and Debian has `venv`, or
# the pip in it, in a package of its own.
_CHECK = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])"
_SECONDS = 20.0  # for one program to answer


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
        done = subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
        )
    except (OSError, subprocess.SubprocessError, ValueError):
        return ""
    return done.stdout
