"""Creates and checks the virtual environments of the backends, one per framework family."""

from __future__ import annotations

import importlib
import os
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Annotated, NamedTuple

import msgspec

from backends.family import CUDA_PACKAGES, OWN_ENVIRONMENT, CudaBuild, Environment
from backends.registry import ENVIRONMENTS, entry
from bench.machine import guard
from bench.machine.cuda import Hardware
from bench.machine.nvml import gpus
from bench.records.files import PROJECT, write_atomically
from bench.runner.cluster.wheelhouse import Packed, Wheelhouse
from bench.runner.installation import (
    InstallError,
    check_is_cuda,
    check_space,
    choose_build,
    download_of,
    extra_index,
    run_checked,
)
from bench.runner.interpreters import NoAnswerError, ask, find_python, how_to_install
from bench.runner.variables import Inherited, inherited, measured
from specs.errors import UserError, closest

# `--python all=PATH` sets the interpreter of every environment that has no `--python` of its own.
_ALL = "all"
_READY = "framework-bench.txt"  # written last; an environment without it is incomplete
# GPU builds have their own folders, as login and compute nodes may share a clone.
_CUDA = "-cuda"
# Prints the versions in an environment, without importing a framework, and the names of the
# environment variables that it gets, each with a "$" before it. An empty entry of `sys.path` is the
# current folder, which may contain other packages. Python 3.6 and 3.7 have no `importlib.metadata`.
_ASK_VERSIONS = """
import sys
sys.path = [entry for entry in sys.path if entry]
import json, os, platform
try:
    from importlib.metadata import version, PackageNotFoundError
except ImportError:
    from pkg_resources import DistributionNotFound as PackageNotFoundError, get_distribution
    version = lambda name: get_distribution(name).version
versions = {"$" + name: "set" for name in os.environ}
versions["python"] = platform.python_version()
for name in sys.argv[1:]:
    try:
        versions[name] = version(name)
    except PackageNotFoundError:
        pass
print(json.dumps(versions))
"""


# A file system that many nodes read at once may take tens of seconds.
_ANSWER_SECONDS = 60.0
_Version = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,100}\Z")]


class NoPythonError(InstallError):
    """This machine has no Python version that an environment supports."""


class Environments:
    """The interpreters of the environments.

    Args:
        overrides: environment, or "all" -> the interpreter of `--python NAME=PATH`.
        folder: the folder of all other environments; None for `environments_folder()`.
        variables: what every worker gets by `--variable`, each "NAME=VALUE".
        wheelhouse: the only place where pip looks for packages; None for pip's indexes.

    Raises:
        InstallError: `overrides` has an unknown environment or a missing file.
    """

    def __init__(
        self,
        overrides: Mapping[str, Path] | None = None,
        folder: Path | None = None,
        variables: Sequence[str] = (),
        wheelhouse: Wheelhouse | None = None,
    ) -> None:
        self.variables = tuple(sorted(variables))
        # Absolute, as a worker starts in another folder.
        self._overrides = {name: path.absolute() for name, path in (overrides or {}).items()}
        self._folder = folder or environments_folder()
        self._wheelhouse = wheelhouse
        for name, python in self._overrides.items():
            if name != _ALL:
                check_name(name)
            if not python.is_file():
                raise InstallError(
                    f"--python {name}={python}: no such file", expected="a Python interpreter"
                )
        self._answers: dict[str, _Answer] = {}

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
        """The interpreter of a backend's workers, and the framework's interpreter if that differs.

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
            InstallError: the interpreter does not run, or gets no variables.
        """
        return self._answer(name).versions

    def sets(self, name: str) -> list[str]:
        """The variables that change what is measured, and that the interpreter sets itself.

        The interpreter may be a script that loads a module or starts a container.

        Raises:
            InstallError: the interpreter does not run, or gets no variables.
        """
        return self._answer(name).sets

    def create(self, name: str, *, cuda: Hardware | None, say: Callable[[str], None]) -> bool:
        """Create an environment with the registry's versions.

        Args:
            name: a key of `backends.registry.ENVIRONMENTS`.
            cuda: install the build for NVIDIA GPUs that runs on these machines, if the framework
                has any; None for the build for CPUs.
            say: is called with each line of progress.

        Returns:
            False if it already exists, or if `--python` names its interpreter.

        Raises:
            InstallError: the name is unknown, no build runs on these machines, the wheelhouse lacks
                it or has it for another Python, pip found a build for CPUs instead, there is too
                little space, or `venv` or pip failed (with their last lines).
            UserError: the last step, after pip, failed; see `Environment.finish`.
        """
        check_name(name)
        if {name, _ALL} & self._overrides.keys():
            return False
        spec, build = ENVIRONMENTS[name], None
        folder = self._folder / (f"{name}{_CUDA}" if cuda and spec.cuda else name)
        stamps = [stamp_of(spec, build) for build in spec.cuda if cuda and not cuda.misfit(build)]
        ready = _ready(folder)
        if ready in (stamps or [stamp_of(spec, None)]):
            return False
        packed, house = None, self._wheelhouse
        if cuda and spec.cuda:
            offered = [
                build for build in spec.cuda if house and house.has(name, stamp_of(spec, build))
            ]
            build, why = choose_build(name, offered or spec.cuda, cuda)
            say(why + (" (checked for the default version only)" if "@" in name else ""))
        if house is not None:
            packed = house.packed(name, stamp_of(spec, build), python_for(name))
        (folder / _READY).unlink(missing_ok=True)
        _make(name, spec, build, folder, say=say, anew=bool(ready), packed=packed)
        if build is not None:
            self._check_cuda(name, build, folder)
        write_atomically(folder / _READY, stamp_of(spec, build).encode())
        return True

    def without_cuda(self, name: str, hardware: Hardware | None) -> str:
        """Why an environment has no code for this machine's GPUs, although its framework may.

        "" if it has such code, or if that is unknown, as for an interpreter of `--python`.
        """
        python = self.python(name)
        if name == OWN_ENVIRONMENT or python is None or {name, _ALL} & self._overrides.keys():
            return ""
        spec, ready = ENVIRONMENTS[name], _ready(self._folder / f"{name}{_CUDA}")
        if not spec.cuda:
            return ""
        if not ready:
            return "its environment has a CPU build"
        builds = [build for build in spec.cuda if stamp_of(spec, build) == ready]
        misfit = hardware.misfit(builds[0]) if hardware and builds else ""
        return misfit and f"its build of CUDA {builds[0].cuda} {misfit}"

    def _check_cuda(self, name: str, build: CudaBuild, folder: Path) -> None:
        """Check that pip found the right build; remove the environment if it did not."""
        python, spec = _interpreter(folder), ENVIRONMENTS[name]
        if not spec.ask_cuda:
            return
        versions = _ask(python, spec.versions).versions
        installed = ", ".join(f"{package} {version}" for package, version in versions.items())
        command = [str(python), "-I", "-c", spec.ask_cuda]
        problem = f"{name}: the framework cannot be imported"
        try:
            check_is_cuda(name, build, run_checked(command, problem, hint=""), installed)
        except InstallError:
            # Else pip would find its requirements satisfied. The folder may take gigabytes.
            shutil.rmtree(folder, ignore_errors=True)
            raise

    def _advice(self, name: str, python: Path, missing: list[str]) -> str:
        if python == self._overrides.get(_ALL):
            return (
                f"install {', '.join(missing)} under {python}, or name another Python:"
                f" --python {name}=PATH"
            )
        if name not in self._overrides:
            return f"bench environment create {name}"
        return f"{python} -m pip install {' '.join(ENVIRONMENTS[name].packages())}"

    def _answer(self, name: str) -> _Answer:
        if name not in self._answers:
            python = self.python(name)
            self._answers[name] = (
                _Answer({}, []) if python is None else _ask(python, self._packages(name))
            )
        return self._answers[name]

    def _packages(self, name: str) -> tuple[str, ...]:
        if name == OWN_ENVIRONMENT:
            return ("numpy", "msgspec")
        spec = ENVIRONMENTS[name]
        libraries = CUDA_PACKAGES if spec.cuda else ()
        return (*spec.versions, *_needed_by_workers(name), *libraries)


def check_name(name: str) -> None:
    """Raise `InstallError` if no environment has this name."""
    if name not in ENVIRONMENTS:
        known = [*ENVIRONMENTS]
        raise InstallError(
            f"no environment is named '{name}'",
            expected=f"one of {', '.join(known)}",
            hint=closest(name, known),
        )


def cache_folder() -> Path:
    """The cache folder for data sets and environments.

    Raises:
        UserError: no variable names it, and the user has no home folder.
    """
    if chosen := os.environ.get("FRAMEWORK_BENCH_CACHE"):
        return Path(chosen).absolute()
    if caches := os.environ.get("XDG_CACHE_HOME"):
        return Path(caches).absolute() / "framework-bench"
    try:
        return Path.home() / ".cache" / "framework-bench"
    except RuntimeError:  # in containers, a user may have no entry in /etc/passwd
        raise UserError(
            "there is no home folder for the cache: HOME is not set",
            hint="name a folder with the variable FRAMEWORK_BENCH_CACHE",
        ) from None


def environments_folder() -> Path:
    """The folder of environments: `.environments` in a clone, otherwise in the cache folder."""
    return PROJECT / ".environments" if is_clone() else cache_folder() / "environments"


def is_clone() -> bool:
    """Whether our packages are in a clone, and not installed from a wheel."""
    project = PROJECT / "pyproject.toml"
    return project.is_file() and 'name = "framework-bench"' in project.read_text(encoding="utf-8")


def inherited_by(python: Path) -> Inherited:
    """The environment variables that a process of this interpreter inherits from this process."""
    return inherited(os.environ, is_own=environments_folder() in python.parents)


def _make(
    name: str,
    spec: Environment,
    build: CudaBuild | None,
    folder: Path,
    *,
    say: Callable[[str], None],
    anew: bool,
    packed: Packed | None,
) -> None:
    """Make a virtual environment, and install its packages.

    Args:
        name: of the environment.
        spec: its entry in the registry.
        build: its build for NVIDIA GPUs; None for CPUs.
        folder: where it is made.
        say: is called with each line of progress.
        anew: remove what is in the folder.
        packed: its wheels; None to fetch them from pip's indexes.

    Raises:
        InstallError: there is too little space, or `venv` or pip failed.
        UserError: the last step, after pip, failed; see `Environment.finish`.
    """
    say(f"{name}: making {folder} with {', '.join(spec.packages(build))}")
    pip = make_virtual(name, folder, anew=anew)
    if packed is None:
        wanted = pip_options(name, build, pip, folder, say)
        run_checked([*pip, "install", "--quiet", *wanted], f"{name}: pip install failed")
    else:
        packed.install(pip, folder, say)
    if spec.finish:
        _finish(spec.finish, name, _interpreter(folder))


def make_virtual(name: str, folder: Path, *, anew: bool = False) -> list[str]:
    """Make the virtual environment of this name, without its packages.

    Args:
        name: of the environment; the bench's own environment uses this Python.
        folder: where it is made, unless it is there already.
        anew: remove what is in the folder.

    Returns:
        The command of its pip.

    Raises:
        InstallError: this machine has no Python for it, or `venv` failed.
    """
    if anew or not _interpreter(folder).is_file():
        command = [str(python_for(name)), "-I", "-m", "venv", "--clear", str(folder)]
        run_checked(command, f"{name}: python -m venv failed")
    # -I ignores the current folder, but not pip's own variables.
    return [str(_interpreter(folder)), "-I", "-m", "pip", "--disable-pip-version-check"]


def pip_options(
    name: str,
    build: CudaBuild | None,
    pip: list[str],
    folder: Path,
    say: Callable[[str], None],
) -> list[str]:
    """The arguments for pip: packages and indexes. The size of the download is reported.

    Packages that are needed to build others are installed.

    Args:
        name: of the environment.
        build: its build for NVIDIA GPUs; None for CPUs.
        pip: the command, of `make_virtual`.
        folder: an existing folder on the disk that takes the packages.
        say: is called with each line of progress.

    Raises:
        InstallError: there is too little space, or pip failed.
    """
    spec = ENVIRONMENTS[name]
    wanted = [*spec.packages(build), *_index(name, spec, build, pip, say)]
    if spec.say_size or build:
        dry_run = [*pip, "install", "--dry-run", "--quiet", "--report", "-", *wanted]
        download = download_of(dry_run)
        less = "; CPU builds, from another index, are smaller"
        hint = less if download and download.is_for_gpus and build is None else ""
        say(f"{name}: {download or 'the size of the download is unknown'}{hint}")
        if download and (warning := check_space(name, download, folder)):
            say(f"{name}: {warning}")
    if spec.build_requirements:
        problem = f"{name}: pip install failed"
        run_checked([*pip, "install", "--quiet", *spec.build_requirements], problem)
        wanted.append("--no-build-isolation")
    return wanted


def _index(
    name: str,
    spec: Environment,
    build: CudaBuild | None,
    pip: list[str],
    say: Callable[[str], None],
) -> list[str]:
    """The options for pip to look at one more index, which is reported.

    A build for NVIDIA GPUs with its own index exists only there, so pip always looks there. For
    CPUs, an index that the user has configured takes precedence.
    """
    if build is not None:
        if build.index:
            say(f"{name}: pip also looks at {build.index}, for the build of CUDA {build.cuda}")
        return ["--extra-index-url", build.index] if build.index else []
    index = extra_index(pip, spec.cpu_index)
    if index:
        say(f"{name}: pip also looks at {spec.cpu_index}, for builds without CUDA")
    return index


def stamp_of(spec: Environment, build: CudaBuild | None) -> str:
    """The content of a complete environment's file `_READY`: its kind and its requirements."""
    kind = f"NVIDIA GPUs, CUDA {build.cuda}" if build else "CPUs"
    return "\n".join([f"# for {kind}", *spec.packages(build), ""])


def _ready(folder: Path) -> str:
    """The stamp of an environment; "" if it does not exist or is not complete."""
    path = folder / _READY
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _wrong_versions(name: str) -> Mapping[str, tuple[str, ...]]:
    return {} if name == OWN_ENVIRONMENT else ENVIRONMENTS[name].wrong_versions


def _is_far(name: str) -> bool:
    """Whether the workers of an environment run in the bench's own Python."""
    return name != OWN_ENVIRONMENT and ENVIRONMENTS[name].far


def _needed_by_workers(name: str) -> tuple[str, ...]:
    """The packages that the bench's own code needs in an environment."""
    return ("numpy",) if _is_far(name) else ("numpy", "msgspec")


def python_for(name: str) -> Path:
    """The Python with which an environment is made.

    Raises:
        NoPythonError: no suitable version of Python was found.
    """
    versions = () if name == OWN_ENVIRONMENT else ENVIRONMENTS[name].pythons
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


class _Answer(NamedTuple):
    """What an interpreter says: versions by name, and the variables that it sets itself."""

    versions: dict[str, str]
    sets: list[str]


def _ask(python: Path, packages: tuple[str, ...]) -> _Answer:
    command = [str(python), "-c", _ASK_VERSIONS, *packages]
    try:
        answer = ask(command, _ANSWER_SECONDS, inherited_by(python).variables)
    except NoAnswerError as error:
        raise InstallError(f"{python}: {error}", expected="a Python interpreter") from error
    try:
        values = msgspec.json.decode(answer, type=dict[str, _Version])
        versions = {name: values[name] for name in packages if name in values}
        versions = {"python": values["python"], **versions}
        variables = [name[1:] for name in values if name.startswith("$")]
    except (msgspec.DecodeError, RecursionError, KeyError) as error:
        raise InstallError(
            f"{python}: does not answer with its versions", expected="a Python interpreter"
        ) from error
    if guard.VARIABLE not in variables:
        raise InstallError(
            f"{python}: does not receive the environment variables of the bench",
            expected="a program that passes them on: they choose GPU and threads",
            hint="a script without `env -i`; apptainer without --cleanenv, and not docker",
        )
    return _Answer(versions, measured(variables))


def _finish(target: str, name: str, python: Path) -> None:
    """Do the last step of an environment, after pip, see `Environment.finish`."""
    module, _, function = target.partition(":")

    def run(command: Sequence[str]) -> str:
        return run_checked([*command], f"{name}: {Path(command[0]).name} failed", hint="")

    getattr(importlib.import_module(module), function)(python, run)
