"""Creates and checks the virtual environments of the backends, one per framework family."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from backends.family import OWN_ENVIRONMENT
from backends.registry import ENVIRONMENTS, entry
from bench.machine.nvml import gpus
from bench.records.files import PROJECT, write_atomically
from bench.runner.interpreters import find_python, how_to_install
from bench.runner.variables import Inherited, inherited
from specs.errors import UserError, closest

# `--python all=PATH` sets the interpreter of every environment that has no `--python` of its own.
_ALL = "all"
_READY = "framework-bench.txt"  # written last; an environment without it is incomplete
# GPU builds have their own folders, as login and compute nodes may share a clone.
_CUDA = "-cuda"
# The settings of pip that name package indexes.
_SOURCES = ("index-url", "extra-index-url", "find-links", "no-index")
_HEAD_SECONDS = 5.0  # the time limit for the size of one file
# Prints the versions in an environment, without importing a framework. The empty entry of its path
# is the current folder, which may contain other packages. Python 3.6 and 3.7 have no
# `importlib.metadata`.
_ASK_VERSIONS = """
import sys
sys.path = [entry for entry in sys.path if entry]
import json, platform
try:
    from importlib.metadata import version, PackageNotFoundError
except ImportError:
    from pkg_resources import DistributionNotFound as PackageNotFoundError, get_distribution
    version = lambda name: get_distribution(name).version
versions = {"python": platform.python_version()}
for name in sys.argv[1:]:
    try:
        versions[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(versions))
"""


class InstallError(UserError):
    """An environment does not exist, cannot be created, or lacks a package."""


class NoPythonError(InstallError):
    """This machine has no Python of a version that can have an environment."""


class Environments:
    """The interpreters of the environments.

    Args:
        overrides: environment, or "all" -> the interpreter of `--python NAME=PATH`.
        folder: the folder of all other environments; None for `environments_folder()`.
        variables: what every worker gets by `--variable`, each "NAME=VALUE".

    Raises:
        InstallError: `overrides` has an unknown environment or a missing file.
    """

    def __init__(
        self,
        overrides: Mapping[str, Path] | None = None,
        folder: Path | None = None,
        variables: Sequence[str] = (),
    ) -> None:
        self.variables = tuple(sorted(variables))
        # Absolute, as a worker starts in another folder.
        self._overrides = {name: path.absolute() for name, path in (overrides or {}).items()}
        self._folder = folder or environments_folder()
        for name, python in self._overrides.items():
            if name != _ALL:
                self._check_name(name)
            if not python.is_file():
                raise InstallError(
                    f"--python {name}={python}: no such file", expected="a Python interpreter"
                )
        self._versions: dict[str, dict[str, str]] = {}

    def python(self, name: str) -> Path | None:
        """The interpreter of an environment; None if it does not exist."""
        if name in self._overrides:
            return self._overrides[name]
        if name == OWN_ENVIRONMENT:
            return Path(sys.executable)
        if _ALL in self._overrides:
            return self._overrides[_ALL]
        kinds = (_CUDA, "") if gpus(None) else ("", _CUDA)
        folders = [self._folder / f"{name}{kind}" for kind in kinds]
        return next(
            (_interpreter(folder) for folder in folders if (folder / _READY).is_file()), None
        )

    def require(self, backend: str) -> Path:
        """The interpreter of a backend.

        Raises:
            InstallError: it does not exist, lacks a package that the backend needs, or has a
                version that computes wrong results.
        """
        chosen = entry(backend)
        name, versions = chosen.environment, self.versions(chosen.environment)
        python = self.python(name)
        if python is None:
            raise InstallError(
                f"the backend '{backend}' is not installed: there is no environment '{name}'",
                hint=f"bench environment create {name}",
            )
        needs = dict.fromkeys((*chosen.needs, *_needed_by_workers(name)))
        missing = [
            need.replace("|", " or ")
            for need in needs
            if versions.keys().isdisjoint(need.split("|"))
        ]
        if missing:
            raise InstallError(
                f"the backend '{backend}' cannot run under {python}: {', '.join(missing)} not"
                " installed there",
                hint=self._advice(name, python, missing),
            )
        for package, wrong in _wrong_versions(name).items():
            if versions.get(package) in wrong:
                raise InstallError(
                    f"the backend '{backend}' is refused under {python}: {package}"
                    f" {versions[package]} computes wrong results (docs/findings.md)",
                    expected=f"{package} other than {', '.join(wrong)}",
                    hint=f"{python} -m pip install --upgrade {package}",
                )
        return python

    def of_worker(self, backend: str) -> tuple[Path, str]:
        """The interpreter of a backend's workers, and that of its framework if it is another one.

        The second is "" unless the framework's Python is too old for a worker, see
        `backends.family.Environment.far`.

        Raises:
            InstallError: see `require`.
        """
        python, name = self.require(backend), entry(backend).environment
        return (Path(sys.executable), str(python)) if _is_far(name) else (python, "")

    def versions(self, name: str) -> dict[str, str]:
        """The versions of "python" and of the environment's packages, by name.

        Empty if the environment does not exist. Each interpreter is asked only once.

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
        """Create an environment with the registry's versions.

        Args:
            name: a key of `backends.registry.ENVIRONMENTS`.
            cuda: install the builds for NVIDIA GPUs.
            say: is called with each line of progress.

        Returns:
            False if it already exists, or if `--python` names its interpreter.

        Raises:
            InstallError: the name is unknown, or `venv` or pip failed (with their last lines).
            UserError: what remains to be done after pip failed, see `Environment.finish`.
        """
        self._check_name(name)
        if {name, _ALL} & self._overrides.keys():
            return False
        spec, folder = ENVIRONMENTS[name], self._folder / f"{name}{_CUDA if cuda else ''}"
        requirements = spec.packages(cuda=cuda)
        stamp = "\n".join([f"# for {'NVIDIA GPUs' if cuda else 'CPUs'}", *requirements, ""])
        if (folder / _READY).is_file() and (folder / _READY).read_text(encoding="utf-8") == stamp:
            return False
        changed = (folder / _READY).is_file()  # it has other versions
        (folder / _READY).unlink(missing_ok=True)
        python = _python_for(name)
        say(f"{name}: making {folder} with {', '.join(requirements)}")
        if changed or not _interpreter(folder).is_file():
            _checked(
                [str(python), "-I", "-m", "venv", "--clear", str(folder)],
                f"{name}: python -m venv failed",
            )
        # -I ignores the current folder, but not pip's own variables.
        pip = [str(_interpreter(folder)), "-I", "-m", "pip", "--disable-pip-version-check"]
        index = _extra_index(pip, "" if cuda else spec.cpu_index)
        wanted = [*requirements, *index]
        if index:
            say(f"{name}: pip also looks at {spec.cpu_index}, for builds without CUDA")
        if spec.say_size or cuda:
            dry_run = [*pip, "install", "--dry-run", "--quiet", "--report", "-", *wanted]
            say(f"{name}: {_download_size(dry_run)}")
        problem = f"{name}: pip install failed"
        if spec.build_requirements:
            _checked([*pip, "install", "--quiet", *spec.build_requirements], problem)
            wanted.append("--no-build-isolation")
        _checked([*pip, "install", "--quiet", *wanted], problem)
        if spec.finish:
            _finish(spec.finish, name, _interpreter(folder))
        write_atomically(folder / _READY, stamp.encode())
        return True

    def _advice(self, name: str, python: Path, missing: list[str]) -> str:
        if python == self._overrides.get(_ALL):
            return (
                f"install {', '.join(missing)} under {python}, or name another Python:"
                f" --python {name}=PATH"
            )
        if name not in self._overrides:
            return f"bench environment create {name}"
        return f"{python} -m pip install {' '.join(ENVIRONMENTS[name].packages(cuda=False))}"

    def _packages(self, name: str) -> tuple[str, ...]:
        if name == OWN_ENVIRONMENT:
            return ("numpy", "msgspec")
        return (*ENVIRONMENTS[name].versions, *_needed_by_workers(name))

    @staticmethod
    def _check_name(name: str) -> None:
        if name not in ENVIRONMENTS:
            known = [*ENVIRONMENTS]
            raise InstallError(
                f"no environment is named '{name}'",
                expected=f"one of {', '.join(known)}",
                hint=closest(name, known),
            )


def cache_folder() -> Path:
    """The cache folder for data sets and environments."""
    chosen = os.environ.get("FRAMEWORK_BENCH_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return (Path(chosen) if chosen else home / "framework-bench").absolute()


def environments_folder() -> Path:
    """The folder of environments: `.environments` in a clone, otherwise in the cache folder."""
    project = PROJECT / "pyproject.toml"
    if project.is_file() and 'name = "framework-bench"' in project.read_text(encoding="utf-8"):
        return PROJECT / ".environments"
    return cache_folder() / "environments"


def inherited_by(python: Path) -> Inherited:
    """What a process that runs this interpreter inherits of our environment variables."""
    return inherited(os.environ, is_own=environments_folder() in python.parents)


def _wrong_versions(name: str) -> Mapping[str, tuple[str, ...]]:
    return {} if name == OWN_ENVIRONMENT else ENVIRONMENTS[name].wrong_versions


def _is_far(name: str) -> bool:
    """Whether the workers of an environment run in the bench's own Python."""
    return name != OWN_ENVIRONMENT and ENVIRONMENTS[name].far


def _needed_by_workers(name: str) -> tuple[str, ...]:
    """The packages that the bench's own code needs in an environment."""
    return ("numpy",) if _is_far(name) else ("numpy", "msgspec")


def _python_for(name: str) -> Path:
    """The Python with which an environment is made.

    Raises:
        NoPythonError: no Python of a version that can have it was found.
    """
    versions = ENVIRONMENTS[name].pythons
    if not versions:
        return Path(sys.executable)
    python = find_python(versions)
    if python is None:
        raise NoPythonError(
            f"{name}: needs Python {' or '.join(versions)}, and none was found on PATH, or in the"
            " folders of pyenv, conda and uv",
            hint=how_to_install(versions),
        )
    return python


def _interpreter(folder: Path) -> Path:
    return folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def _ask_versions(python: Path, packages: tuple[str, ...]) -> dict[str, str]:
    command = [str(python), "-c", _ASK_VERSIONS, *packages]
    try:
        variables = inherited_by(python).variables
        done = subprocess.run(command, capture_output=True, text=True, check=True, env=variables)
        versions: dict[str, str] = json.loads(done.stdout)
    except (OSError, subprocess.CalledProcessError, ValueError) as error:
        raise InstallError(
            f"{python}: does not run: {error}", expected="a Python interpreter"
        ) from error
    return versions


def _extra_index(pip: list[str], url: str) -> list[str]:
    """The options for pip to use also the index `url`.

    There are none if `url` is "", or if the user has configured an index for pip.
    """
    if not url:
        return []
    done = subprocess.run([*pip, "config", "list"], capture_output=True, text=True, check=False)
    for line in done.stdout.splitlines():  # e.g. global.index-url='https://...'
        key, _, value = line.partition("=")
        section, _, name = key.rpartition(".")
        used = section in ("global", "install", ":env:") and value.strip("'\"")
        if used and name in _SOURCES:
            return []
    return ["--extra-index-url", url]


def _finish(target: str, name: str, python: Path) -> None:
    """Do what remains to be done in an environment after pip, see `Environment.finish`."""
    module, _, function = target.partition(":")

    def run(command: Sequence[str]) -> str:
        return _checked([*command], f"{name}: {Path(command[0]).name} failed", hint="")

    getattr(importlib.import_module(module), function)(python, run)


def _checked(
    command: list[str],
    problem: str,
    hint: str = "is the package index reachable? is the disk full?",
) -> str:
    """What a command prints; `InstallError` with its last lines if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n    ".join(done.stderr.strip().splitlines()[-6:])
        raise InstallError(f"{problem}:\n    {last}", hint=hint)
    return done.stdout


def _download_size(command: list[str]) -> str:
    """The size of the download, as text: some indexes have only GPU builds of several GB."""
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
        f"{len(urls)} packages to download, {sum(filter(None, sizes)) / 1e9:.2f} GB{unknown}{kind}"
    )


def _size_bytes(url: str) -> int | None:
    import urllib.request  # here, as it takes 20 ms

    # Safe: pip opens the same address next.
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_HEAD_SECONDS) as answer:  # noqa: S310
            return int(answer.headers.get("Content-Length") or 0) or None
    except (OSError, ValueError):
        return None
