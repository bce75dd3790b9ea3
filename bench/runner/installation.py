"""Decides what pip installs and from where; checks the free space and the installed build.

Everything is reported, and most decided, before gigabytes are downloaded.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from backends.family import CudaBuild
from bench.machine.cuda import Hardware
from specs.errors import UserError

# The settings of pip that name package indexes.
SOURCES = ("index-url", "extra-index-url", "find-links", "no-index")
_HEAD_SECONDS = 5.0  # the time limit for the size of one file
# Unpacked, PyTorch's wheel for CPUs has 3.7 times its size, and jax-cuda12-pjrt 2.8 times.
_UNPACKED = 3
_IS_FULL = "is the package index reachable? is the disk full?"


class InstallError(UserError):
    """An environment does not exist, cannot be created, or lacks a package."""


class NoBuildError(InstallError):
    """No build of a framework for NVIDIA GPUs runs on the given hardware."""


class Download(NamedTuple):
    """What pip would download.

    Attributes:
        packages: the number of packages.
        known_bytes: the size of the packages whose size is known.
        unknown: the number of the other packages.
        is_for_gpus: whether libraries for NVIDIA GPUs are among them.
        local_bytes: the size of the packages that are already on this machine.
    """

    packages: int
    known_bytes: int
    unknown: int
    is_for_gpus: bool
    local_bytes: int = 0

    @property
    def on_disk_bytes(self) -> int:
        """The estimated size of the environment when everything is unpacked."""
        return _UNPACKED * (self.known_bytes + self.local_bytes)

    def __str__(self) -> str:
        if not self.packages:
            return "nothing to download"
        size = self.known_bytes / 1e9
        unknown = f" and {self.unknown} of unknown size" if self.unknown else ""
        kind = ", the GPU build" if self.is_for_gpus else ""
        return (
            f"{self.packages} packages to download, {size:.2f} GB{unknown}{kind};"
            f" on disk about {self.on_disk_bytes / 1e9:.1f} GB (estimated: {_UNPACKED} times the"
            " packages)"
        )


def choose_build(
    name: str, builds: Sequence[CudaBuild], hardware: Hardware
) -> tuple[CudaBuild, str]:
    """An environment's best build that runs on the given hardware, and why it was chosen.

    Args:
        name: of the environment, for the error.
        builds: the best first; there is at least one.
        hardware: the hardware of the machines.

    Raises:
        NoBuildError: no build runs there.
    """
    reasons: list[str] = []
    for build in builds:
        misfit = hardware.misfit(build)
        if not misfit:
            return build, "; ".join([f"{name}: CUDA {build.cuda}, for {hardware}", *reasons])
        reasons.append(f"the build of CUDA {build.cuda} with {build.requirements[-1]} {misfit}")
    raise NoBuildError(
        f"{name}: no build for {hardware}: {'; '.join(reasons)}",
        hint=f"install a newer driver, or CPU builds: bench environment create {name} --cpu",
    )


def run_checked(command: list[str], problem: str, hint: str = _IS_FULL) -> str:
    """The output of a command; raises `InstallError` with its last lines if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        last = "\n    ".join(done.stderr.strip().splitlines()[-6:])
        raise InstallError(f"{problem}:\n    {last}", hint=hint)
    return done.stdout


def check_is_cuda(name: str, build: CudaBuild, answer: str, installed: str) -> None:
    """Check that an environment has code for NVIDIA GPUs, built for the right CUDA.

    pip prefers the version "2.13.0+cpu" to "2.13.0" where a folder or an index has both.

    Args:
        name: of the environment.
        build: the build that was chosen.
        answer: what `backends.family.Environment.ask_cuda` printed there.
        installed: what is installed, for the error.

    Raises:
        InstallError: the framework is built for CPUs, or for another major version of CUDA.
    """
    lines = answer.strip().splitlines()
    version = lines[-1].strip() if lines else ""
    if version.partition(".")[0] == build.cuda.partition(".")[0]:
        return
    what = f"CUDA {version}" if version else "CPUs"
    raise InstallError(
        f"{name}: pip found a build for {what}: {installed}",
        expected=f"one for CUDA {build.cuda}",
        hint="see where pip looks: `pip config list`; use an index with builds for NVIDIA GPUs, or"
        f" install CPU builds: bench environment create {name} --cpu",
    )


def extra_index(pip: list[str], url: str) -> list[str]:
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
        if used and name in SOURCES:
            return []
    return ["--extra-index-url", url]


def download_of(command: list[str]) -> Download | None:
    """What pip would download, by the report of a dry run; None if the dry run fails."""
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return None
    packages = json.loads(done.stdout)["install"]
    every = [package["download_info"]["url"] for package in packages]
    urls = [url for url in every if url.startswith("http")]
    local = [Path(unquote(urlsplit(url).path)) for url in every if url.startswith("file:")]
    sizes = [_size_bytes(url) for url in urls]
    return Download(
        packages=len(urls),
        known_bytes=sum(filter(None, sizes)),
        unknown=sizes.count(None),
        is_for_gpus=any("cuda" in url or "nvidia" in url for url in urls),
        local_bytes=sum(path.stat().st_size for path in local if path.is_file()),
    )


def check_space(name: str, download: Download, folder: Path) -> str:
    """A warning if the free space may not suffice for an environment; "" if it does.

    Args:
        name: of the environment.
        download: what pip would download.
        folder: an existing folder on the disk of the environment.

    Raises:
        InstallError: not even the download would fit.
    """
    free, place = shutil.disk_usage(folder).free, f"{folder} has {{:.1f}} GB free"
    if free < download.known_bytes:
        raise InstallError(
            f"{name}: {place.format(free / 1e9)}, but the download alone is"
            f" {download.known_bytes / 1e9:.1f} GB",
            hint="free some space, or put the clone on a larger disk (without a clone:"
            " set FRAMEWORK_BENCH_CACHE)",
        )
    if free < download.on_disk_bytes:
        return f"{place.format(free / 1e9)}: the environment may not fit"
    return ""


def _size_bytes(url: str) -> int | None:
    import urllib.request  # here, as it takes 20 ms

    # Safe: pip opens the same address next.
    request = urllib.request.Request(url, method="HEAD")  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_HEAD_SECONDS) as answer:  # noqa: S310
            return int(answer.headers.get("Content-Length") or 0) or None
    except (OSError, ValueError):
        return None
