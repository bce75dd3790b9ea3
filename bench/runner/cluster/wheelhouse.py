"""A wheelhouse: a folder with the wheels of environments, for machines without a network.

Its manifest says which wheels an environment has, their checksums, and for which Python they are.
`bench.runner.cluster.packing` makes one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from bench.records.files import write_atomically
from bench.runner.installation import Download, InstallError, check_space, run_checked
from specs.files import read_regular

_MANIFEST = "framework-bench.json"
_MOST_BYTES = 10_000_000  # of the manifest
_FORMAT = 1
# Prints what decides whether wheels fit: Python, system, processor and the C library's name; then
# the version of that library. It runs in Python 3.6.
_ASK_TARGET = """
import platform, sys
libc = platform.libc_ver()
version = "%s %d.%d" % ((platform.python_implementation(),) + sys.version_info[:2])
print(version, "on", platform.system(), platform.machine(), libc[0])
print(" ".join(libc))
"""
_PACK = "bench environment pack"

Text = Annotated[str, Meta(pattern=r"^[ -~\n]{0,1000}\Z")]
Name = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.+!@-]{0,199}\Z")]


class Target(Struct, frozen=True, kw_only=True):
    """The machines that wheels are for.

    Attributes:
        python: "CPython 3.11 on Linux x86_64 glibc".
        libc: the C library of the machine on which they were packed, "glibc 2.36"; an older one may
            be too old.
    """

    python: Text
    libc: Text


class Wheel(Struct, frozen=True, kw_only=True):
    """A file of the folder.

    Attributes:
        name: of the package.
        version: of the package.
        size_bytes: of the file.
        sha256: of the file, in hexadecimal digits.
    """

    name: Name
    version: Name
    size_bytes: Annotated[int, Meta(ge=0, le=10**12)]
    sha256: Annotated[str, Meta(pattern=r"^[0-9a-f]{64}\Z")]


class Entry(Struct, frozen=True, kw_only=True):
    """The wheels of an environment.

    Attributes:
        environment: its name.
        stamp: its kind and requirements, see `bench.runner.environments.stamp_of`.
        target: the machines that they are for.
        wheels: the names of the files.
    """

    environment: Name
    stamp: Text
    target: Target
    wheels: tuple[Name, ...]

    @property
    def kind(self) -> tuple[str, str, str]:
        """The key of the entry: a wheelhouse has each kind once."""
        return self.environment, self.stamp, self.target.python


class _Manifest(Struct, frozen=True, kw_only=True):
    format: Annotated[int, Meta(ge=_FORMAT, le=_FORMAT)] = _FORMAT
    entries: tuple[Entry, ...] = ()
    wheels: Mapping[Name, Wheel] = {}


class Packed(Struct, frozen=True, kw_only=True):
    """The wheels of one environment; all files exist.

    Attributes:
        folder: of the wheelhouse.
        entry: the environment's.
        wheels: file -> wheel.
        target: this machine, and the Python of the environment.
    """

    folder: Path
    entry: Entry
    wheels: Mapping[str, Wheel]
    target: Target

    def install(self, pip: list[str], folder: Path, say: Callable[[str], None]) -> None:
        """Install the wheels into an environment; pip checks their checksums and uses no index.

        Args:
            pip: the environment's pip.
            folder: of the environment.
            say: is called with each line of progress.

        Raises:
            InstallError: there is too little space, a checksum is wrong, or pip failed.
        """
        name, sizes = self.entry.environment, [wheel.size_bytes for wheel in self.wheels.values()]
        download = Download(0, 0, 0, is_for_gpus=False, local_bytes=sum(sizes))
        say(
            f"{name}: {len(sizes)} wheels of {self.folder}, {sum(sizes) / 1e9:.2f} GB; on disk"
            f" about {download.on_disk_bytes / 1e9:.1f} GB (estimated)"
        )
        if warning := check_space(name, download, folder):
            say(f"{name}: {warning}")
        lines = [
            f"{wheel.name}=={wheel.version} --hash=sha256:{wheel.sha256}\n"
            for wheel in self.wheels.values()
        ]
        requirements = folder / "wheels.txt"
        write_atomically(requirements, "".join(lines).encode())
        packed_on = self.entry.target.libc
        older = "" if packed_on == self.target.libc else f" (packed on {packed_on})"
        run_checked(
            [
                *(*pip, "install", "--quiet", "--isolated", "--no-index", "--require-hashes"),
                *("--find-links", str(self.folder), "--requirement", str(requirements)),
            ],
            f"{name}: pip cannot install from {self.folder}",
            hint=f"is the disk full? is a wheel damaged, or for a newer C library than"
            f" {self.target.libc}{older}?",
        )


class Wheelhouse:
    """A folder of wheels.

    Args:
        folder: its path.
        may_be_new: whether there may be no manifest yet.

    Raises:
        InstallError: its manifest cannot be read.
    """

    def __init__(self, folder: Path, *, may_be_new: bool = False) -> None:
        self.folder = folder.absolute()
        self._manifest = _Manifest()
        path = self.folder / _MANIFEST
        if may_be_new and not path.exists():
            return
        try:
            self._manifest = msgspec.json.decode(read_regular(path, _MOST_BYTES), type=_Manifest)
        except OSError as error:
            raise InstallError(
                f"{path}: cannot be read: {error.strerror}",
                expected="a folder that was packed",
                hint=f"on a machine with a network: {_PACK} FOLDER",
            ) from error
        except (msgspec.DecodeError, RecursionError) as error:
            raise InstallError(
                f"{path}: is not a manifest of this version of the bench: {error}",
                hint=f"pack into another folder: {_PACK} FOLDER",
            ) from error

    def names(self) -> list[str]:
        """The environments that are packed."""
        return list(dict.fromkeys(entry.environment for entry in self._manifest.entries))

    def has(self, name: str, stamp: str) -> bool:
        """Whether an environment of this kind, with these requirements, is packed."""
        return any(
            (entry.environment, entry.stamp) == (name, stamp) for entry in self._manifest.entries
        )

    def packed(self, name: str, stamp: str, python: Path) -> Packed:
        """The wheels of an environment.

        Args:
            name: of the environment.
            stamp: its kind and requirements, see `bench.runner.environments.stamp_of`.
            python: the Python of the environment.

        Raises:
            InstallError: they are not packed, are for another Python or platform, or a file is
                missing or has another size.
        """
        target = target_of(python)
        entries = [
            candidate for candidate in self._manifest.entries if candidate.environment == name
        ]
        alike = [candidate for candidate in entries if candidate.stamp == stamp]
        if not alike:
            kind, *requirements = stamp.splitlines()
            kinds = [f"{name} {candidate.stamp.splitlines()[0][2:]}" for candidate in entries]
            raise InstallError(
                f"{self.folder} has no wheels of {name} {kind[2:]}, with {', '.join(requirements)}",
                expected=f"one of: {'; '.join(kinds) or ', '.join(self.names())}",
                hint=f"--cpu or --cuda? on a machine with a network: {_PACK} FOLDER {name}",
            )
        entry = next(
            (candidate for candidate in alike if candidate.target.python == target.python), None
        )
        if entry is None:
            raise InstallError(
                f"{name}: {python} is {target.python}, but {self.folder} was packed for others",
                expected=" or ".join(candidate.target.python for candidate in alike),
                hint=f"pack it under the same Python on the same kind of machine: {_PACK}",
            )
        for file in entry.wheels:
            self._check(file)
        wheels = {file: self._manifest.wheels[file] for file in entry.wheels}
        return Packed(folder=self.folder, entry=entry, wheels=wheels, target=target)

    def add(self, entry: Entry, wheels: Mapping[str, Wheel]) -> None:
        """Write an environment into the manifest; replaces its entry for the same machines.

        Args:
            entry: the environment's.
            wheels: the files, which are in the folder.

        Raises:
            RunError: the folder cannot be written.
        """
        others = [other for other in self._manifest.entries if other.kind != entry.kind]
        self._manifest = replace(
            self._manifest,
            entries=(*others, entry),
            wheels={**self._manifest.wheels, **wheels},
        )
        content = msgspec.json.format(msgspec.json.encode(self._manifest))
        write_atomically(self.folder / _MANIFEST, content + b"\n")

    def _check(self, file: str) -> None:
        try:
            size, expected = (self.folder / file).stat().st_size, self._manifest.wheels[file]
            problem = "" if size == expected.size_bytes else "has another size"
        except (OSError, KeyError):
            problem = "is missing"
        if problem:
            raise InstallError(
                f"{self.folder / file}: {problem}",
                expected="the file that the manifest names",
                hint=f"copy the folder again, or pack it again: {_PACK}",
            )


def target_of(python: Path) -> Target:
    """The machines that a Python installs wheels for.

    Raises:
        InstallError: the Python does not run.
    """
    answer = run_checked([str(python), "-I", "-c", _ASK_TARGET], f"{python}: does not run", hint="")
    version, libc = answer.splitlines()
    return Target(python=version.strip(), libc=libc.strip())
