"""The backends, devices, threads and folders of data that the user chose, or their defaults."""

from __future__ import annotations

import argparse
import os
import re
import sys
from pathlib import Path

from backends.registry import BACKENDS, GAPS
from bench.data.dataset import Places
from bench.machine.host import Machine, allowed_cpus
from bench.runner.environments import Environments, InstallError
from specs.errors import UserError

_UNTESTED = r"mps|xpu:[0-9]+"


def choose_backends(
    chosen: tuple[str, ...] | None, environments: Environments, *, tuned: bool = False
) -> tuple[str, ...]:
    """The backends to run; all that are installed, if the user did not choose.

    Args:
        chosen: by the user.
        environments: where they are installed.
        tuned: take the tuned variants of each too, right after it.

    Raises:
        InstallError: one that was chosen, or every one, is not installed.
    """
    plain = _choose_backends(chosen, environments)
    if not tuned:
        return plain
    variants = {
        name: [v for v, entry in BACKENDS.items() if entry.variant_of == name] for name in plain
    }
    return tuple(dict.fromkeys(one for name in plain for one in (name, *variants[name])))


def _choose_backends(chosen: tuple[str, ...] | None, environments: Environments) -> tuple[str, ...]:
    if chosen:
        for name in chosen:
            environments.require(name)
        return tuple(dict.fromkeys(chosen))
    usual = [name for name, backend in BACKENDS.items() if backend.default]
    there = []
    for name in usual:
        try:
            environments.require(name)
            there.append(name)
        except InstallError as error:
            print(f"bench: {name} is left out: {error.hint}", file=sys.stderr)
    if not there:
        raise InstallError("no framework is installed", hint="bench environment create")
    return tuple(there)


def choose_devices(chosen: tuple[str, ...] | None, machine: Machine) -> tuple[str, ...]:
    """The devices to run on; all that the machine has, if the user did not choose.

    Apple's and Intel's are not checked here, as only a framework can tell whether they are there:
    if it does not report one, the job ends as unsupported.

    Raises:
        UserError: the machine has no such device.
    """
    cuda = [f"cuda:{gpu.index}" for gpu in machine.gpus]
    there = ["cpu", *cuda]
    devices: list[str] = []
    for name in chosen or there:
        if name == "cuda" and cuda:
            devices += cuda
        elif name in there or re.fullmatch(_UNTESTED, name):
            devices.append(name)
        else:
            raise UserError(
                f"there is no device '{name}' on {machine.name}",
                expected=f"one of {', '.join(there)}; or, untested, mps or xpu:0",
            )
    return tuple(dict.fromkeys(devices))


def choose_threads(chosen: int | None) -> int:
    """The CPU threads; as many as the scheduler allows, if the user did not choose.

    Raises:
        UserError: it allows fewer than were chosen.
    """
    allowed = len(allowed_cpus())
    if chosen is not None and chosen > allowed:
        raise UserError(f"--threads {chosen}: the scheduler allows this process {allowed} CPUs")
    return chosen or allowed


def say_without_native(backends: tuple[str, ...], modes: tuple[str, ...]) -> None:
    """Say which of the backends are left out of native mode, and why."""
    for name in backends:
        if "native" in modes and not BACKENDS[name].native:
            gap = GAPS.get(name, {}).get("native mode")
            print(
                f"bench: {name} has no native mode: {gap.reason if gap else 'see bench defaults'}",
                file=sys.stderr,
            )


def places_of(options: argparse.Namespace) -> Places:
    """Where the user says that data sets lie: option, then variable; and the cache."""
    directory = getattr(options, "data_dir", None) or os.environ.get("FRAMEWORK_BENCH_DATA")
    cache = os.environ.get("FRAMEWORK_BENCH_CACHE")
    home = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Places(
        directory=Path(directory) if directory else None,
        cache=Path(cache) if cache else home / "framework-bench",
    )
