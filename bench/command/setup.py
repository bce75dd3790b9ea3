"""Sets up a command that runs workers: interpreters, machine, choices, folders."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Literal, NamedTuple

from msgspec.structs import replace
from rich.console import Console

from backends.contract import first_of, nodes_of, ranks_of, ranks_per_node
from backends.registry import BACKENDS, DEFAULT_BACKENDS, GAPS, entry
from bench.command import say
from bench.command.environment import environments_of, install
from bench.data.dataset import Places
from bench.machine.cuda import this_hardware
from bench.machine.host import (
    WITHOUT_GPUS,
    Machine,
    allowed_cores,
    allowed_cpus,
    gpu_kind,
    gpus_of,
    this_machine,
)
from bench.report.terminal.plain import plain_console
from bench.runner import plan
from bench.runner.cluster.slurm import job_nodes
from bench.runner.environments import Environments, cache_folder, inherited_by
from bench.runner.installation import InstallError
from specs.errors import UserError

_ALL_GPUS = ("cuda", "gpu")
_UNTESTED = r"mps|xpu:[0-9]+"


class Setup(NamedTuple):
    """The setup of a command that runs workers.

    Attributes:
        environments: the interpreters of the frameworks.
        machine: this machine.
        choices: the chosen backends, devices, threads, modes and precisions, or their defaults;
            seeds and rounds are None if the user did not choose them.
        places: the folders that may contain data sets.
        console: the console for progress, on standard error.
    """

    environments: Environments
    machine: Machine
    choices: plan.Options
    places: Places
    console: Console


def set_up(
    options: argparse.Namespace,
    backends: tuple[str, ...] = DEFAULT_BACKENDS,
    native: tuple[str, ...] = (),
) -> Setup:
    """Set up a command from the parsed options, see `bench.command.parser`.

    Args:
        options: the parsed options.
        backends: the backends that run unless the user names others.
        native: the backends that also train in native mode unless the user names modes.

    Raises:
        UserError: a choice is unknown, not installed or not available.
    """
    environments = Environments(dict(options.python), variables=options.variable)
    if getattr(options, "install", False):
        names = environments_of(options.backend or backends)
        install(
            environments,
            names,
            cuda=this_hardware(),
            leave_out=options.backend is None,
            falls_back=True,
        )
    machine = _machine(options.device)
    choices = plan.Options(
        backends=choose_backends(options.backend, environments, backends, tuned=options.tuned),
        devices=_spark_master(options) or choose_devices(options.device, machine),
        threads=choose_threads(options.threads),
        seeds=getattr(options, "seeds", None),
        rounds=getattr(options, "rounds", None),
        modes=options.mode or ("matched",),
        native=() if options.mode else native,
        precisions=options.precision or ("float32",),
    )
    say_without_native(choices.backends, choices.modes)
    if options.device is None:
        say_left_out(choices.devices, machine)
    say_without_cuda(choices, environments)
    say_dropped(choices.backends, environments)
    return Setup(environments, machine, choices, places_of(options), plain_console(stderr=True))


def choose_backends(
    chosen: tuple[str, ...] | None,
    environments: Environments,
    unless_chosen: tuple[str, ...] = DEFAULT_BACKENDS,
    *,
    tuned: bool = False,
) -> tuple[str, ...]:
    """The backends to run: the user's choice, else the installed ones of `unless_chosen`.

    Args:
        chosen: the backends that the user chose; None for no choice.
        environments: the environments in which backends may be installed.
        unless_chosen: the backends that run without a choice, if they are installed.
        tuned: add the tuned variants of each backend, right after it.

    Raises:
        InstallError: a chosen backend is not installed, or no backend is.
    """
    plain = _choose_backends(chosen, environments, unless_chosen)
    if not tuned:
        return plain
    tuned_ones = {v: entry.variant_of for v, entry in BACKENDS.items() if not entry.experiment}
    variants = {
        name: [v for v, plain_form in tuned_ones.items() if plain_form == name] for name in plain
    }
    return tuple(dict.fromkeys(variant for name in plain for variant in (name, *variants[name])))


def _choose_backends(
    chosen: tuple[str, ...] | None, environments: Environments, unless_chosen: tuple[str, ...]
) -> tuple[str, ...]:
    if chosen:
        for name in chosen:
            environments.require(name)
        return tuple(dict.fromkeys(chosen))
    installed = []
    for name in unless_chosen:
        try:
            environments.require(name)
            installed.append(name)
        except InstallError as error:
            say(f"bench: {name} is left out: {error.hint}", error=True)
    if not installed:
        raise InstallError(
            "no framework is installed", hint="bench environment create, or --python NAME=PATH"
        )
    return tuple(installed)


def _spark_master(options: argparse.Namespace) -> tuple[str, ...] | None:
    """The Spark cluster that the user chose, as the only device; None without one.

    Raises:
        UserError: other backends would run on it.
    """
    plain = {name.partition("@")[0] for name in options.backend or ()}
    if options.spark_master and plain != {"spark"}:
        raise UserError("--spark-master works only with Spark", hint="--backend spark")
    cluster: tuple[str, ...] | None = options.spark_master
    return cluster


def _machine(devices: tuple[str, ...] | None) -> Machine:
    """This machine; without GPUs if they are unknown and the user chose none.

    Under Slurm it has the name of its node, because administrators drain nodes by name.

    Raises:
        UserError: CUDA_VISIBLE_DEVICES names no GPU, see `bench.machine.visible`.
    """
    try:
        machine = this_machine(os.environ)
    except UserError:
        if devices is None or any(name.startswith(_ALL_GPUS) for name in devices):
            raise
        machine = this_machine(WITHOUT_GPUS)
    return replace(machine, name=os.environ.get("SLURMD_NODENAME") or machine.name)


def choose_devices(chosen: tuple[str, ...] | None, machine: Machine) -> tuple[str, ...]:
    """The devices to run on: the user's choice, else the CPU and a GPU of each kind.

    Apple's and Intel's devices are not checked here, as only a framework can find them. If it finds
    none, the job ends as unsupported.

    Raises:
        UserError: the machine has no such device.
    """
    cuda = [gpu.device for gpu in machine.gpus]
    names = ["cpu", *cuda]
    devices: list[str] = []
    for name in chosen or ("cpu", *_first_of_each_kind(machine)):
        if name in _ALL_GPUS and cuda:
            devices += cuda
        elif name in _ALL_GPUS:
            raise UserError(
                f"there is no NVIDIA GPU on {machine.name}",
                expected=f"one of {', '.join(names)}",
                hint="does nvidia-smi list it? is CUDA_VISIBLE_DEVICES set? is MIG on,"
                " without instances?",
            )
        elif ranks_of(name) > 1:
            _check_nodes(name)
            devices.append(_shared(name, machine))
        elif name in names or re.fullmatch(_UNTESTED, name):
            devices.append(name)
        else:
            raise UserError(
                f"there is no device '{name}' on {machine.name}",
                expected=f"one of {', '.join(names)}; or (not tested) mps or xpu:0",
            )
    return tuple(dict.fromkeys(devices))


def _shared(name: str, machine: Machine) -> str:
    """The device of several ranks: "4xcuda:0" for "4xcuda" or "4xgpu".

    Raises:
        UserError: the machine has too few of these devices.
    """
    first = first_of(name)
    if first in _ALL_GPUS and machine.gpus:
        first = machine.gpus[0].device
    device = name.removesuffix(first_of(name)) + first
    count = len(allowed_cpus()) if first == "cpu" else len(gpus_of(machine, device))
    if count < ranks_per_node(name):
        what = "CPUs" if first == "cpu" else f"NVIDIA GPUs of one kind, from {first} on"
        raise UserError(
            f"--device {name}: {machine.name} has {count} usable {what}",
            expected=f"at most {count} ranks" + (" per node" if nodes_of(name) > 1 else ""),
        )
    return device


def _check_nodes(device: str) -> None:
    """Raise `UserError` unless this process is on the first of the device's nodes under Slurm."""
    nodes = nodes_of(device)
    if nodes == 1:
        return
    available, number = job_nodes(os.environ)
    if nodes > available or number:
        raise UserError(
            f"--device {device}: this process runs on node {number} of {available} Slurm nodes",
            expected=f"node 0 of {nodes} or more",
            hint=f"bench submit --nodes {nodes} --device {device}",
        )
    if first_of(device) not in ("cpu", *_ALL_GPUS, "cuda:0"):
        raise UserError(
            f"--device {device}: on several nodes, ranks start at each node's first GPU"
        )


def _first_of_each_kind(machine: Machine) -> list[str]:
    """The first GPU of each kind, as equal GPUs have equal figures."""
    kinds: dict[tuple[object, ...], str] = {}
    for gpu in machine.gpus:
        kinds.setdefault(gpu_kind(machine, gpu.device), gpu.device)
    return list(kinds.values())


def say_left_out(devices: tuple[str, ...], machine: Machine) -> None:
    """Print which GPUs are left out because they are of the same kind as one of the devices."""
    alike = [gpu.device for gpu in machine.gpus if gpu.device not in devices]
    if alike:
        say(
            f"bench: {', '.join(alike)} left out: a GPU of the same kind is used;"
            " --device cuda uses all",
            error=True,
        )


def choose_threads(chosen: int | Literal["cores"] | None) -> int:
    """The number of CPU threads: the user's choice, else the number that the scheduler allows.

    "cores" stands for one thread per core of the allowed CPUs.

    Raises:
        UserError: the scheduler allows fewer than the user chose.
    """
    if chosen == "cores":
        return allowed_cores()
    allowed = len(allowed_cpus())
    if chosen is not None and chosen > allowed:
        raise UserError(
            f"--threads {chosen}: the scheduler allows this process only {allowed} CPUs"
        )
    return chosen or allowed


def say_without_native(backends: tuple[str, ...], modes: tuple[str, ...]) -> None:
    """Print which of the backends have no native mode, and why."""
    for name in backends:
        if "native" in modes and not BACKENDS[name].native:
            gap = GAPS.get(name, {}).get("native mode")
            say(
                f"bench: {name} has no native mode: {gap.reason if gap else 'see bench defaults'}",
                error=True,
            )


def say_without_cuda(choices: plan.Options, environments: Environments) -> None:
    """Print which environments have no code for the chosen GPUs, and why."""
    if not any(device.startswith("cuda") for device in choices.devices):
        return
    hardware = this_hardware()
    for name in environments_of(choices.backends):
        if why := environments.without_cuda(name, hardware):
            backends = [
                backend for backend in choices.backends if entry(backend).environment == name
            ]
            say(
                f"bench: {', '.join(backends)} cannot use the GPU: {why}: bench environment create"
                f" {name} --cuda",
                error=True,
            )


def say_dropped(backends: tuple[str, ...], environments: Environments) -> None:
    """Print which of the user's environment variables the workers get changed or not at all."""
    pythons = {environments.require(name) for name in backends}
    dropped = sorted({name for python in pythons for name in inherited_by(python).dropped})
    if dropped:
        say(
            "bench: not passed to the frameworks, because it changes what is measured:"
            f" {', '.join(dropped)}; to pass a variable: --variable NAME=VALUE",
            error=True,
        )
    for name in environments_of(backends):
        if names := environments.sets(name):
            say(
                f"bench: {environments.python(name)} sets {', '.join(names)}, and records do not"
                " contain it: unset it there, or pass it with --variable NAME=VALUE",
                error=True,
            )


def places_of(options: argparse.Namespace) -> Places:
    """The folder of the user's data sets (from the option or the variable), and the cache."""
    directory = getattr(options, "data_dir", None) or os.environ.get("FRAMEWORK_BENCH_DATA")
    return Places(directory=Path(directory) if directory else None, cache=cache_folder())
