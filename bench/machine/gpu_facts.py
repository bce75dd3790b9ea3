"""Facts about a machine's GPUs that affect its measurements; each takes seconds.

Some facts come from the driver, the others from a short program in a framework's environment. An
unknown fact gives the reason.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

from msgspec import Struct

from bench.machine import gpu_programs as programs
from bench.machine.device import MPS_SERVER
from bench.machine.gpu_state import cuda_version
from bench.machine.host import Machine, allowed_cpus
from bench.machine.nvml import Gpu, OpenGpu, ask, boards, can_ask, cpus_near
from bench.worker.clock import monotonic_seconds, pause

_POLL_SECONDS = 1.0  # the energy counter's longest known step is 0.1 s
_PAUSE_SECONDS = 0.0005
_LIKE_NVML = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID"}
_LISTS = ("nvmlDeviceGetComputeRunningProcesses", "nvmlDeviceGetMPSComputeRunningProcesses")
_NO_GPU = "there is no NVIDIA GPU that this process may use"
_FEWEST = 3  # steps of a counter, for a median


class UnknownError(Exception):
    """A fact is unknown; the message says why."""


class ProgramError(UnknownError):
    """A program failed; the message has its last line."""


class Fact(Struct, frozen=True):
    """A fact: its name, and its value or "unknown: " and the reason."""

    name: str
    value: str


class Probe(Struct, frozen=True):
    """The environments of the frameworks, in which short programs run.

    Attributes:
        run: takes an environment, a program, its arguments and its variables; returns the last line
            that the program prints. Raises `UnknownError`, and `ProgramError` if the program fails.
        folder: takes an environment; returns the folder of its build for NVIDIA GPUs. Raises
            `UnknownError` if there is no such build.
    """

    run: Callable[[str, str, Sequence[str], Mapping[str, str]], str]
    folder: Callable[[str], Path]


def gpu_facts(machine: Machine, environments: Sequence[str], probe: Probe) -> list[Fact]:
    """All facts about a machine.

    Args:
        machine: this machine.
        environments: the environments with builds for NVIDIA GPUs.
        probe: runs programs in them.
    """
    kinds: dict[str, Gpu] = {}
    for gpu in machine.gpus:
        kinds.setdefault(gpu.name, gpu)
    first: list[Gpu | None] = [*kinds.values()] or [None]
    questions: list[tuple[str, Callable[[], str]]] = [
        ("driver, and the newest CUDA that it supports", _driver),
        ("MIG mode of each board", _mig),
        ("server of MPS", _mps),
        ("GPUs by number, in CUDA and in NVML", lambda: _numbering(machine, probe)),
        *(question for gpu in first for question in _questions_of(gpu, probe)),
        *(
            (f"{name}: compiles exp, tanh and log for a GPU", _compiles(name, machine, probe))
            for name in programs.COMPILING
        ),
        ("jax: a job on the CPU, in its environment for GPUs", lambda: _jax_on_cpu(probe)),
        *((f"{name}: size on disk", _size(name, probe)) for name in environments),
    ]
    return [Fact(name, _told(question)) for name, question in questions]


def _told(question: Callable[[], str]) -> str:
    try:
        return question()
    except UnknownError as reason:
        return f"unknown: {reason}"


def _questions_of(gpu: Gpu | None, probe: Probe) -> Iterator[tuple[str, Callable[[], str]]]:
    """Yield the questions about one GPU or slice; None if there is no GPU."""
    where = gpu.device if gpu else "cuda"
    yield f"{where}: steps of its energy counter, without load", lambda: _idle_steps(gpu)
    answers: dict[str, Any] = {}

    def of_program(tell: Callable[[Any], str]) -> Callable[[], str]:
        def asked() -> str:
            if gpu is None:
                raise UnknownError(_NO_GPU)
            if not answers:  # the program runs once
                line = probe.run("torch", programs.ON_GPU, _near_and_far(gpu), _only(gpu))
                answers.update(json.loads(line))
            return tell(answers)

        return asked

    yield f"{where}: steps of its energy counter, under load", of_program(_busy_steps)
    yield f"{where}: what a worker sees", of_program(lambda told: str(told["seen"]))
    yield f"{where}: NVML's lists that have the worker", of_program(_lists)
    yield f"{where}: microseconds of a small operation, by CPUs", of_program(_launches)


def _only(gpu: Gpu) -> dict[str, str]:
    return {**_LIKE_NVML, "CUDA_VISIBLE_DEVICES": gpu.uuid}


def _driver() -> str:
    driver = ask("nvmlSystemGetDriverVersion") if can_ask() else None
    if driver is None:
        raise UnknownError("no NVIDIA driver answers")
    return f"{driver}, CUDA {cuda_version() or 'unknown: it does not tell'}"


def _boards() -> list[Any]:
    """The boards that this process may use.

    Raises:
        UnknownError: there are none.
    """
    visible = boards()
    if not visible:
        raise UnknownError(_NO_GPU)
    return visible


def _mig() -> str:
    modes = [(ask("nvmlDeviceGetMigMode", board) or [None])[0] for board in _boards()]
    names = {None: "does not exist", 0: "off", 1: "on"}
    return ", ".join(f"{index}: {names.get(mode, mode)}" for index, mode in enumerate(modes))


def _mps() -> str:
    _boards()
    names = []
    for comm in Path("/proc").glob("[0-9]*/comm"):
        try:
            names.append(comm.read_text(encoding="utf-8", errors="replace").strip())
        except OSError:  # it has ended
            continue
    if not names:
        raise UnknownError("the system does not list its processes")
    return "runs" if MPS_SERVER in names else "none is seen (one outside a container is not)"


def _numbering(machine: Machine, probe: Probe) -> str:
    """Whether CUDA lists the boards in NVML's order if `CUDA_VISIBLE_DEVICES` has all numbers."""
    boards = [gpu for gpu in machine.gpus if not gpu.partition]
    if not boards:
        raise UnknownError("there is no NVIDIA GPU that is not divided")
    numbers = ",".join(str(gpu.index) for gpu in boards)
    visible = {**_LIKE_NVML, "CUDA_VISIBLE_DEVICES": numbers}
    seen = json.loads(probe.run("torch", programs.UUIDS, (), visible))
    listed = [gpu.uuid for gpu in boards]
    if seen == listed:
        return f"the same: {len(seen)}"
    return f"different: CUDA has {', '.join(seen) or 'none'}; NVML has {', '.join(listed)}"


def _idle_steps(gpu: Gpu | None) -> str:
    """The steps of a board's energy counter while none of our processes runs on it."""
    if gpu is None:
        raise UnknownError(_NO_GPU)
    if gpu.partition:
        raise UnknownError("a slice of a GPU has no counter")
    board, values = OpenGpu(gpu.uuid), []
    until = monotonic_seconds() + _POLL_SECONDS
    while (now := monotonic_seconds()) < until:
        values.append((now, board.ask("nvmlDeviceGetTotalEnergyConsumption")))
        if values[-1][1] is None:
            raise UnknownError("the driver tells no energy")
        pause(_PAUSE_SECONDS)
    changes = [values[i] for i in range(1, len(values)) if values[i][1] != values[i - 1][1]]
    return _steps(changes)


def _busy_steps(answers: Any) -> str:
    if isinstance(answers["energy"], str):
        raise UnknownError(answers["energy"])
    return _steps(answers["energy"])


def _steps(changes: Sequence[Sequence[float]]) -> str:
    """The steps of a counter in words, from the times (s) and values (mJ) of its changes."""
    if len(changes) <= _FEWEST:
        raise UnknownError(f"{len(changes)} steps in {_POLL_SECONDS:g} s")
    ends = list(pairwise(changes))
    seconds = [after[0] - before[0] for before, after in ends]
    joules = [(after[1] - before[1]) / 1e3 for before, after in ends]
    return (
        f"{1e3 * median(seconds):.1f} ms and {median(joules):.2f} J (median), at most"
        f" {1e3 * max(seconds):.1f} ms"
    )


def _lists(answers: Any) -> str:
    listed = [name.removeprefix("nvmlDeviceGet") for name in _LISTS if name in answers["lists"]]
    return " and ".join(listed) or "none (a container hides processes, or gives them other numbers)"


def _launches(answers: Any) -> str:
    return ", ".join(f"{1e6 * seconds:.1f} {name}" for name, seconds in answers["launch"].items())


def _near_and_far(gpu: Gpu) -> tuple[str, str]:
    """The allowed CPUs near a GPU, and the other allowed CPUs, each as JSON."""
    allowed = allowed_cpus()
    near = cpus_near(gpu.uuid, max(allowed) + 1)
    near = [cpu for cpu in allowed if cpu in near]
    return json.dumps(near), json.dumps([cpu for cpu in allowed if near and cpu not in near])


def _compiles(environment: str, machine: Machine, probe: Probe) -> Callable[[], str]:
    """Whether a framework finds what it needs to compile for a GPU.

    XLA needs `libdevice` and `ptxas`, PyTorch a C compiler and Python's headers.
    """

    def asked() -> str:
        if not machine.gpus:
            raise UnknownError(_NO_GPU)
        program = programs.COMPILING[environment]
        return _yes_or_no(probe, environment, program, _only(machine.gpus[0]))

    return asked


def _jax_on_cpu(probe: Probe) -> str:
    probe.folder("jax")
    variables = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu"}
    return _yes_or_no(probe, "jax", programs.JAX_ON_CPU, variables)


def _yes_or_no(probe: Probe, environment: str, program: str, variables: Mapping[str, str]) -> str:
    try:
        return f"yes: {probe.run(environment, program, (), variables)}"
    except ProgramError as error:
        return f"no: {error}"


def _size(environment: str, probe: Probe) -> Callable[[], str]:
    def asked() -> str:
        files = [path for path in probe.folder(environment).rglob("*") if not path.is_symlink()]
        return f"{sum(path.stat().st_size for path in files if path.is_file()) / 1e9:.1f} GB"

    return asked
