"""Makes and checks the virtual environments in which backends run, one per framework family."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

from backends.family import OWN_ENVIRONMENT
from backends.registry import ENVIRONMENTS, entry
from bench.machine.nvml import gpus
from bench.records.files import PROJECT, write_atomically
from specs.errors import UserError, closest

ENVIRONMENTS_FOLDER = PROJECT / ".environments"
_READY = "framework-bench.txt"  # written last: an environment without it was never finished
# Builds for GPUs lie beside those for CPUs: login and compute nodes may share a clone.
_CUDA = "-cuda"
_HEAD_SECONDS = 5.0  # how long to wait for one file's size; after it the size is unknown
# What runs inside an environment to learn its versions, without importing a framework.
_ASK_VERSIONS = """
import importlib.metadata, json, platform, sys
found = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        found[name] = importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        pass
print(json.dumps(found))
"""


class InstallError(UserError):
    """An environment that does not exist, cannot be made, or lacks what its backends need."""


class Environments:
    """The interpreters of one command.

    They lie in `folder`, unless the user named others by `--python NAME=PATH`.
    """

    def __init__(
        self, overrides: Mapping[str, Path] | None = None, folder: Path = ENVIRONMENTS_FOLDER
    ) -> None:
        # Workers take our packages, and nothing else, from a clone.
        if not (PROJECT / "pyproject.toml").is_file():
            raise InstallError(
                f"{PROJECT}: not a clone of framework-bench", hint="in a clone: pip install -e ."
            )
        self._overrides, self._folder = dict(overrides or {}), folder
        for name, python in self._overrides.items():
            self._check_name(name)
            if not python.is_file():
                raise InstallError(
                    f"--python {name}={python}: no such file", expected="a Python interpreter"
                )
        self._versions: dict[str, dict[str, str]] = {}

    def python(self, name: str) -> Path | None:
        """The interpreter of an environment; None where it has not been made."""
        if name in self._overrides:
            return self._overrides[name]
        if name == OWN_ENVIRONMENT:
            return Path(sys.executable)
        kinds = (_CUDA, "") if gpus(None) else ("", _CUDA)
        folders = [self._folder / f"{name}{kind}" for kind in kinds]
        return next(
            (_interpreter(folder) for folder in folders if (folder / _READY).is_file()), None
        )

    def require(self, backend: str) -> Path:
        """The interpreter that a backend runs under.

        Raises:
            InstallError: it has not been made, or lacks a package that the backend needs; the
                message says what to type.
        """
        chosen = entry(backend)
        name, versions = chosen.environment, self.versions(chosen.environment)
        python = self.python(name)
        if python is None:
            raise InstallError(
                f"the backend '{backend}' is not installed: there is no environment '{name}'",
                hint=f"bench environment create {name}",
            )
        needs = dict.fromkeys((*chosen.needs, "numpy", "msgspec"))
        missing = [
            need.replace("|", " or ")
            for need in needs
            if not any(n in versions for n in need.split("|"))
        ]
        if missing:
            raise InstallError(
                f"the backend '{backend}' cannot run under {python}: {', '.join(missing)} not"
                " installed there",
                hint=self._advice(name, python),
            )
        return python

    def versions(self, name: str) -> dict[str, str]:
        """The versions of "python" and of those installed packages that decide a measurement.

        Empty where the environment has not been made. An interpreter is asked once per command.

        Raises:
            InstallError: the interpreter does not run.
        """
        if name not in self._versions:
            python = self.python(name)
            self._versions[name] = (
                {} if python is None else _ask_versions(python, self._packages(name))
            )
        return self._versions[name]

    def create(self, name: str, *, cuda: bool, say: Callable[[str], None]) -> bool:
        """Make an environment with the registry's versions; False if it was there already.

        Args:
            name: a key of `backends.registry.ENVIRONMENTS`.
            cuda: take the builds for NVIDIA GPUs.
            say: told what happens, a line at a time.

        Raises:
            InstallError: unknown name; `venv` or pip failed (their last lines are in the message).
        """
        self._check_name(name)
        spec, folder = ENVIRONMENTS[name], self._folder / f"{name}{_CUDA if cuda else ''}"
        requirements = spec.packages(cuda=cuda)
        stamp = "\n".join([f"# for {'NVIDIA GPUs' if cuda else 'CPUs'}", *requirements, ""])
        if (folder / _READY).is_file() and (folder / _READY).read_text(encoding="utf-8") == stamp:
            return False
        changed = (folder / _READY).is_file()  # for other versions: make it again
        (folder / _READY).unlink(missing_ok=True)
        say(f"{name}: making {folder} with {', '.join(requirements)}")
        if changed or not _interpreter(folder).is_file():
            _checked(
                [sys.executable, "-m", "venv", "--clear", str(folder)],
                f"{name}: python -m venv failed",
            )
        pip = [str(_interpreter(folder)), "-m", "pip", "--disable-pip-version-check"]
        if spec.say_size or cuda:
            dry_run = [*pip, "install", "--dry-run", "--quiet", "--report", "-", *requirements]
            say(f"{name}: {_download_size(dry_run)}")
        _checked([*pip, "install", "--quiet", *requirements], f"{name}: pip install failed")
        write_atomically(folder / _READY, stamp.encode())
        return True

    def _advice(self, name: str, python: Path) -> str:
        if name not in self._overrides:
            return f"bench environment create {name}"
        return f"{python} -m pip install {' '.join(ENVIRONMENTS[name].packages(cuda=False))}"

    def _packages(self, name: str) -> tuple[str, ...]:
        if name == OWN_ENVIRONMENT:
            return ("numpy", "msgspec")
        return (*ENVIRONMENTS[name].versions, "msgspec")

    @staticmethod
    def _check_name(name: str) -> None:
        if name not in ENVIRONMENTS:
            known = [*ENVIRONMENTS]
            raise InstallError(
                f"no environment is named '{name}'",
                expected=f"one of {', '.join(known)}",
                hint=closest(name, known),
            )


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _ask_versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    command = [str(python), "-c", _ASK_VERSIONS, *packages]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        versions: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise InstallError(
            f"{python}: does not run: {error}", expected="a Python interpreter"
        ) from error
    return versions


def _checked(command: list[str], problem: str) -> None:
    done = subprocess.run(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False
    )
    if done.returncode != 0:
        last = "\n    ".join(done.stderr.strip().splitlines()[-6:])
        raise InstallError(
            f"{problem}:\n    {last}", hint="is the package index reachable? is the disk full?"
        )


def _download_size(command: list[str]) -> str:
    """The size of what pip would download, in words.

    Some indexes have only GPU builds of several GB, and a user should know that beforehand.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return "the size of the download is unknown"
    packages = json.loads(done.stdout)["install"]
    urls = [
        p["download_info"]["url"] for p in packages if p["download_info"]["url"].startswith("http")
    ]
    if not urls:
        return "nothing to download"
    sizes = [_size_bytes(url) for url in urls]
    gpu = any("cuda" in url or "nvidia" in url for url in urls)
    kind = ", the GPU build (give pip an index with CPU builds for less)" if gpu else ""
    unknown = f" and {sizes.count(None)} of unknown size" if None in sizes else ""
    return (
        f"{len(urls)} packages to download, {sum(filter(None, sizes)) / 1e9:.1f} GB{unknown}{kind}"
    )


def _size_bytes(url: str) -> int | None:
    import urllib.request  # takes 20 ms, which `bench list` need not wait for

    # Both lines are safe: pip would open the same address next.
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_HEAD_SECONDS) as answer:  # noqa: S310
            return int(answer.headers.get("Content-Length") or 0) or None
    except (OSError, ValueError):
        return None
