"""Describes the machine: its CPU, memory and GPUs, and how busy it was."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping
from contextlib import suppress
from math import ceil
from pathlib import Path

from msgspec import Struct

from backends.contract import first_of, ranks_per_node
from backends.cores import cores_first, siblings
from bench.machine.nvml import Gpu, cpus_near, gpus

WITHOUT_GPUS = {"CUDA_VISIBLE_DEVICES": ""}  # variables that hide all GPUs, for `this_machine`


class Machine(Struct, frozen=True, kw_only=True, gc=False):
    """The description of a machine in a record.

    Attributes:
        system: the operating system and its release.
        cpu: the name of the processor.
        allowed_cpus: how many CPUs the scheduler, or a container's quota, allows this process.
        allowed_cores: how many cores these are on; None in records of earlier versions.
    """

    name: str
    system: str
    cpu: str
    logical_cpus: int
    allowed_cpus: int
    memory_bytes: int
    gpus: tuple[Gpu, ...]
    allowed_cores: int | None = None

    @property
    def cpus(self) -> str:
        """The CPUs in words: "8 of 64 CPUs (4 cores)"."""
        text = f"{self.allowed_cpus} of {self.logical_cpus} CPUs"
        if self.allowed_cores in (None, self.allowed_cpus):
            return text
        return f"{text} ({self.allowed_cores} cores)"


def this_machine(variables: Mapping[str, str] | None = None) -> Machine:
    """Describe the machine that this process runs on; for `variables` see `gpus`.

    Raises:
        UserError: see `gpus`.
    """
    import psutil  # here, so that `bench --help` stays fast

    return Machine(
        name=platform.node() or "unnamed",
        system=f"{platform.system()} {platform.release()}",
        cpu=_cpu_name(),
        logical_cpus=psutil.cpu_count() or 1,
        allowed_cpus=len(allowed_cpus()),
        memory_bytes=psutil.virtual_memory().total,
        gpus=gpus(variables),
        allowed_cores=allowed_cores(),
    )


def allowed_cpus() -> list[int]:
    """The CPUs that this process may use at the same time, by number.

    A container may use all CPUs, but only the time of a few of them; more threads than that would
    stop each other. Then only that many CPUs are returned, on different cores if possible.
    """
    if hasattr(os, "sched_getaffinity"):
        cpus = sorted(os.sched_getaffinity(0))
    else:
        cpus = list(range(os.cpu_count() or 1))
    quota = cpu_quota()
    return cpus if quota is None else sorted(cores_first(cpus)[: max(1, ceil(quota))])


def allowed_cores() -> int:
    """How many cores the CPUs of `allowed_cpus` are on; a core may have two CPUs (SMT)."""
    return len(set(map(siblings, allowed_cpus())))


def cpu_quota(
    groups: Path = Path("/proc/self/cgroup"), root: Path = Path("/sys/fs/cgroup")
) -> float | None:
    """The number of CPUs whose time this process may use, by the quotas of control groups.

    The smallest quota of its groups and of their parents counts. None if there is no quota.

    Args:
        groups: the file that lists this process's groups, of version 1 and of version 2.
        root: where the groups are mounted.
    """
    return min(_quotas(groups, root), default=None)


def _quotas(groups: Path, root: Path) -> Iterator[float]:
    """Yield the quotas of this process's groups and of their parents.

    In a container, a group's path may be the path outside; then the process's group is `root`.
    """
    with suppress(OSError):
        for line in groups.read_text(encoding="utf-8").splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers and "cpu" not in controllers.split(","):
                continue
            mount = root / "cpu" if controllers else root
            group = mount / path.lstrip("/")
            for folder in (group, *group.parents):
                if folder == root.parent:
                    break
                yield from _quota_of(folder)


def _quota_of(folder: Path) -> Iterator[float]:
    """Yield the quota in a group's folder, if there is one: a share of time of all CPUs."""
    with suppress(OSError, ValueError):  # version 2: "max 100000" is no quota
        quota, period = (folder / "cpu.max").read_text(encoding="ascii").split()
        yield int(quota) / int(period)
    with suppress(OSError, ValueError):  # version 1: -1 is no quota
        quota, period = (
            (folder / name).read_text(encoding="ascii")
            for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us")
        )
        if int(quota) > 0:
            yield int(quota) / int(period)


def job_cpus(threads: int, gpu: Gpu | None) -> list[int]:
    """The numbers of the allowed CPUs that a job uses.

    CPUs on the socket of the job's GPU come first, then CPUs of different cores.

    Args:
        threads: the number of CPUs.
        gpu: the job's GPU, or None.
    """
    allowed = allowed_cpus()
    near = set(cpus_near(gpu.uuid, max(allowed) + 1)) if gpu and threads < len(allowed) else set()
    return sorted(cores_first(allowed), key=lambda cpu: cpu not in near)[:threads]


def gpu_of(machine: Machine, device: str) -> Gpu | None:
    """The NVIDIA GPU or slice of a job's device, or of its first rank; None for other devices."""
    return next((gpu for gpu in machine.gpus if first_of(device) == gpu.device), None)


def gpus_of(machine: Machine, device: str) -> list[Gpu]:
    """The GPUs of a job's ranks on this machine, all of one kind; fewer if it has fewer."""
    first = gpu_of(machine, device)
    if first is None:
        return []
    kind = gpu_kind(machine, first.device)
    others = machine.gpus[machine.gpus.index(first) + 1 :]
    alike = [gpu for gpu in others if gpu_kind(machine, gpu.device) == kind]
    return [first, *alike][: ranks_per_node(device)]


def gpu_kind(machine: Machine, device: str) -> tuple[object, ...]:
    """What two GPUs of the same kind have in common; () for devices that are no NVIDIA GPU.

    Two GPUs of the same kind are interchangeable: a scheduler gives a job any of them.
    """
    gpu = gpu_of(machine, device)
    if gpu is None:
        return ()
    return gpu.name, gpu.memory_bytes, gpu.driver, gpu.partition, gpu.compute_capability


def load_average() -> float | None:
    """The average number of processes that ran or waited during the last minute.

    None if the system does not report it.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def _cpu_name() -> str:
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
        for line in text.splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()
