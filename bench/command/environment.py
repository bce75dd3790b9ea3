"""`bench environment`: lists the environments of the frameworks, creates and packs them."""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor

from backends.family import OWN_ENVIRONMENT
from backends.registry import DEFAULT_BACKENDS, ENVIRONMENTS, entry
from bench.command import say
from bench.machine.cuda import Hardware, of_this_computer, this_hardware
from bench.runner.cluster.packing import Packer
from bench.runner.cluster.wheelhouse import Wheelhouse
from bench.runner.environments import Environments, NoPythonError
from bench.runner.installation import InstallError
from specs.errors import UserError
from specs.loading import SUITES, find_suite, names


def show(_options: argparse.Namespace) -> int:
    """`bench environment`: list what is installed."""
    environments = Environments()
    for name, spec in ENVIRONMENTS.items():
        python = environments.python(name)
        versions = ", ".join(f"{key} {value}" for key, value in environments.versions(name).items())
        say(f"{name:<12} {python or 'not installed: bench environment create ' + name}")
        say(f"{'':<12} {versions or ', '.join(spec.requirements)}")
    return 0


def create(options: argparse.Namespace) -> int:
    """`bench environment create`: install environments, from indexes or a wheelhouse.

    Raises:
        UserError: the options contradict each other, or do not say which GPUs are meant.
        InstallError: see `Environments.create`.
    """
    house = Wheelhouse(options.wheelhouse) if options.wheelhouse else None
    there = [name for name in house.names() if name != OWN_ENVIRONMENT] if house else []
    has_suite = any(name in names(SUITES) for name in options.names)
    install(
        Environments(wheelhouse=house),
        named(options.names or there),
        cuda=_hardware(options),
        leave_out=has_suite,
    )
    return 0


def pack(options: argparse.Namespace) -> int:
    """`bench environment pack`: download packages for machines without a network.

    Raises:
        UserError: the options contradict each other, or do not say which GPUs are meant.
        InstallError: see `bench.runner.cluster.packing.Packer.pack`.
    """
    house, cuda = Wheelhouse(options.folder, may_be_new=True), _hardware(options)
    has_suite = any(name in names(SUITES) for name in options.names)
    with Packer(house, say) as packer:
        for name in named(options.names):
            try:
                is_new = packer.pack(name, cuda=cuda)
            except NoPythonError as error:
                if not has_suite:
                    raise
                say(f"bench: {error}: {error.hint}")
                continue
            if not is_new:
                say(f"{name}: already packed")
        packer.pack_bench()
    say(
        f"copy {options.folder} to a machine without a network, and type there:\n"
        "  python -m pip install --no-index --find-links FOLDER framework-bench\n"
        "  bench environment create --from FOLDER"
    )
    return 0


def _hardware(options: argparse.Namespace) -> Hardware | None:
    """The hardware for the environments: from the options, else of this machine; None for CPUs.

    Raises:
        UserError: the options contradict each other, or do not say which GPUs are meant.
    """
    here, option = this_hardware(), options.driver or options.compute_capability
    if options.cpu:
        if options.cuda or option:
            raise UserError("--cpu contradicts --cuda, --driver and --compute-capability")
        return None
    if not (options.cuda or option):
        return here
    driver = options.driver or (here and here.driver)
    capabilities = options.compute_capability or (here and here.capabilities)
    if not driver or not capabilities:
        raise UserError(
            "this machine has no NVIDIA GPU, so its driver and compute capability are unknown",
            expected="both --driver and --compute-capability of the machines that have GPUs, e.g."
            " --driver 550 --compute-capability 8.0",
            hint="run there: nvidia-smi --query-gpu=driver_version,compute_cap --format=csv",
        )
    return of_this_computer(driver, set(capabilities))


def named(words: Sequence[str]) -> list[str]:
    """The environments for these names of environments and suites.

    Without a name, the environments of the default backends.
    """
    chosen: list[str] = [] if words else environments_of(DEFAULT_BACKENDS)
    for word in words:
        is_suite = word in names(SUITES)
        backends = is_suite and (find_suite(word).backends or DEFAULT_BACKENDS)
        chosen += environments_of(backends) if backends else [word]
    return list(dict.fromkeys(chosen))


def environments_of(backends: Iterable[str]) -> list[str]:
    """The environments of these backends, without the bench's own environment."""
    names = dict.fromkeys(entry(backend).environment for backend in backends)
    return [name for name in names if name != OWN_ENVIRONMENT]


def install(
    environments: Environments,
    names: Iterable[str],
    *,
    cuda: Hardware | None,
    leave_out: bool = False,
    falls_back: bool = False,
) -> None:
    """Create environments, all at the same time, and print a line per step.

    Args:
        environments: see `Environments`.
        names: the names of the environments.
        cuda: the machines with the NVIDIA GPUs; None for CPUs.
        leave_out: skip environments whose Python this machine lacks, and print their names.
        falls_back: if a build for GPUs cannot be installed, print why, and install that for CPUs.

    Raises:
        InstallError: see `Environments.create`; the other environments are still created.
    """

    def create(name: str) -> None:
        try:
            is_new = environments.create(name, cuda=cuda, say=say)
        except InstallError as error:
            if not falls_back or cuda is None or isinstance(error, NoPythonError):
                raise
            say(f"bench: {error}\n{name}: the CPU build is used instead, without the GPU")
            is_new = environments.create(name, cuda=None, say=say)
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
