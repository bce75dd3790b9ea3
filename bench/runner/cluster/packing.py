"""Packs a wheelhouse: fetches the wheels of environments, and of the bench itself, with pip."""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from contextlib import suppress
from importlib.metadata import requires
from pathlib import Path
from typing import Self

from backends.family import OWN_ENVIRONMENT
from backends.registry import ENVIRONMENTS
from bench.machine.cuda import Hardware
from bench.records.files import PROJECT
from bench.runner.cluster.wheelhouse import Entry, Wheel, Wheelhouse, target_of
from bench.runner.environments import (
    check_name,
    is_clone,
    make_virtual,
    pip_options,
    python_for,
    stamp_of,
)
from bench.runner.installation import InstallError, choose_build, run_checked
from specs.files import remove_leftovers

_PARTIAL = ".packing-"


class Packer:
    """Puts wheels into a wheelhouse; use it in a `with` statement.

    The manifest lists the wheels of an environment only when all are there.

    Args:
        wheelhouse: gets the wheels.
        say: is called with each line of progress.

    Raises:
        InstallError: the folder cannot be written.
    """

    def __init__(self, wheelhouse: Wheelhouse, say: Callable[[str], None]) -> None:
        self._wheelhouse, self._say, folder = wheelhouse, say, wheelhouse.folder
        try:
            folder.mkdir(parents=True, exist_ok=True)
            remove_leftovers(folder, f"{_PARTIAL}*")
            # Inside the wheelhouse, so that finished wheels are only renamed.
            self._partial = tempfile.TemporaryDirectory(prefix=_PARTIAL, dir=folder)
        except OSError as error:
            raise InstallError(f"{folder}: cannot be written: {error.strerror}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._partial.cleanup()

    def pack(self, name: str, *, cuda: Hardware | None) -> bool:
        """Fetch the wheels of an environment; packages without wheels are built.

        Args:
            name: a key of `backends.registry.ENVIRONMENTS`.
            cuda: take the build for the NVIDIA GPUs of these machines, if the framework has any;
                None for CPUs.

        Returns:
            False if the wheels are there already.

        Raises:
            InstallError: the name is unknown, no build runs on these machines, this machine has no
                Python for it, there is too little space, or pip failed.
            RunError: the folder cannot be written.
        """
        check_name(name)
        spec, build = ENVIRONMENTS[name], None
        if cuda and spec.cuda:
            build, why = choose_build(name, spec.cuda, cuda)
            self._say(why)
        stamp = stamp_of(spec, build)
        with suppress(InstallError):
            self._wheelhouse.packed(name, stamp, python_for(name))
            return False
        self._say(f"{name}: fetching {', '.join(spec.packages(build))}")
        pip = self._pip(name, spec.pythons)
        options = pip_options(name, build, pip, self._wheelhouse.folder, self._say)
        self._fetch(name, stamp, pip, [*spec.build_requirements, *options])
        return True

    def pack_bench(self) -> None:
        """Fetch what the bench itself depends on, and build its own wheel if this is a clone.

        Raises:
            InstallError: there is too little space, or pip failed.
            RunError: the folder cannot be written.
        """
        self._say(f"{OWN_ENVIRONMENT}: fetching framework-bench and its dependencies")
        if is_clone():
            wanted = [str(PROJECT), "--constraint", str(PROJECT / "constraints.txt")]
        else:
            wanted = requires("framework-bench") or []
            self._say(
                "this is not a clone: copy the wheel of framework-bench into the folder yourself"
            )
        self._fetch(OWN_ENVIRONMENT, "", self._pip(OWN_ENVIRONMENT), wanted)

    def _pip(self, name: str, pythons: Sequence[str] = ()) -> list[str]:
        """The command of a pip of the environment's Python, in a temporary environment."""
        return make_virtual(name, Path(self._partial.name) / "-".join(("python", *pythons)))

    def _fetch(self, name: str, stamp: str, pip: list[str], wanted: list[str]) -> None:
        folder, fetched = self._wheelhouse.folder, Path(self._partial.name) / name
        command = [*pip, "wheel", "--quiet", "--wheel-dir", str(fetched), *wanted]
        run_checked(command, f"{name}: pip wheel failed")
        wheels = {file.name: _wheel(file) for file in sorted(fetched.glob("*.whl"))}
        for file in wheels:
            (fetched / file).replace(folder / file)
        size = sum(wheel.size_bytes for wheel in wheels.values())
        target = target_of(python_for(name))
        entry = Entry(environment=name, stamp=stamp, target=target, wheels=tuple(wheels))
        self._wheelhouse.add(entry, wheels)
        self._say(f"{name}: {len(wheels)} wheels, {size / 1e9:.2f} GB, for {target.python}")


def _wheel(file: Path) -> Wheel:
    """The entry of a file, whose name begins with the package's name and version."""
    name, version = file.name.split("-")[:2]
    with file.open("rb") as content:
        digest = hashlib.file_digest(content, "sha256").hexdigest()
    return Wheel(name=name, version=version, size_bytes=file.stat().st_size, sha256=digest)
