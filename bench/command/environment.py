"""`bench environment`: lists the environments of the frameworks, and creates them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from backends.family import OWN_ENVIRONMENT
from backends.registry import DEFAULT_BACKENDS, ENVIRONMENTS, entry
from bench.machine.nvml import gpus
from bench.runner.environments import Environments, NoPythonError
from specs.loading import SUITES, find_suite, names


def environment(options: argparse.Namespace) -> int:
    """`bench environment`: list what is installed; with `create`, install it.

    Raises:
        InstallError: see `Environments.create`.
    """
    environments = Environments()
    if options.action == "create":
        has_suite = any(name in names(SUITES) for name in options.names)
        install(environments, named(options.names), cpu=options.cpu, leave_out=has_suite)
        return 0
    for name, spec in ENVIRONMENTS.items():
        python = environments.python(name)
        versions = ", ".join(f"{key} {value}" for key, value in environments.versions(name).items())
        print(f"{name:<12} {python or 'not installed: bench environment create ' + name}")
        print(f"{'':<12} {versions or ', '.join(spec.requirements)}")
    return 0


def named(words: Sequence[str]) -> list[str]:
    """The environments that names of environments and of suites stand for.

    No name stands for those of the default backends.
    """
    chosen: list[str] = [] if words else environments_of(DEFAULT_BACKENDS)
    for word in words:
        is_suite = word in names(SUITES)
        backends = is_suite and (find_suite(word).backends or DEFAULT_BACKENDS)
        chosen += environments_of(backends) if backends else [word]
    return list(dict.fromkeys(chosen))


def environments_of(backends: Iterable[str]) -> list[str]:
    """The environments in which these backends run, without the bench's own."""
    names = dict.fromkeys(entry(backend).environment for backend in backends)
    return [name for name in names if name != OWN_ENVIRONMENT]


def install(
    environments: Environments,
    names: Iterable[str],
    *,
    cpu: bool = False,
    leave_out: bool = False,
) -> None:
    """Create environments, all at the same time, and print a line per step.

    Args:
        environments: see `Environments`.
        names: of the environments.
        cpu: install builds for CPUs even if there is an NVIDIA GPU.
        leave_out: say which environments need a Python that this machine lacks, and go on.

    Raises:
        InstallError: see `Environments.create`; the other environments are still created.
    """
    cuda = bool(gpus(None)) and not cpu

    def say(line: str) -> None:  # one write per line, as several threads print
        print(f"{line}\n", end="", flush=True)

    def create(name: str) -> None:
        is_new = environments.create(name, cuda=cuda, say=say)
        say(f"{name}: {'ready' if is_new else 'already installed'}")

    with ThreadPoolExecutor() as pool:
        creations = [pool.submit(create, name) for name in names]
    for creation in creations:
        try:
            creation.result()
        except NoPythonError as error:
            if not leave_out:
                raise
            say(f"bench: {error}: {error.hint}")
