"""Calls Slurm's programs: each with a list of arguments, without a shell, and with a time limit."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Container, Iterable, Mapping, Sequence
from typing import NamedTuple

from msgspec import Struct
from msgspec.structs import replace

from backends.contract import nodes_of
from bench.records.job import SlurmTask
from specs.errors import UserError

# squeue waits for a controller that is restarted; a busy controller answers within some seconds.
_SECONDS = 60.0
# Variables with which a user changes what squeue and sinfo print.
_USERS_FORMATS = ("SQUEUE_", "SINFO_", "SLURM_TIME_FORMAT")
_ENDED = {
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "REVOKED", "TIMEOUT"),
}
# States of a node on which a job begins now or later; earlier states are chosen first.
_USABLE = ("idle", "mixed", "completing", "planned", "allocated")
_COLUMNS = ("%F_%K", "%T", "%r")  # a task, its state, and why it waits
_NOT_RESPONDING = "*"  # a flag behind a node's state


class SlurmError(UserError):
    """Slurm is not here, does not answer, or refuses."""


class Node(Struct, frozen=True, kw_only=True):
    """A node of a partition, as Slurm describes it.

    Attributes:
        cpus: the number of its CPUs.
        memory_bytes: its memory.
        gpus: the number of its GPUs.
        state: Slurm's word for its state, such as "idle".
    """

    name: str
    partition: str
    cpus: int
    memory_bytes: int
    gpus: int
    state: str


class TaskState(Struct, frozen=True, kw_only=True):
    """The state of a task in Slurm's queue, such as "PENDING", and the reason if it waits."""

    state: str
    reason: str

    @property
    def has_ended(self) -> bool:
        """Whether the task will not run again."""
        return self.state in _ENDED


def nodes(partitions: Sequence[str], chosen: str, before: Container[str] = ()) -> list[Node]:
    """The nodes to run on.

    Args:
        partitions: their names; none for Slurm's default partition.
        chosen: a number of nodes of each partition, "all" that are up, or a list in Slurm's form.
        before: the names of nodes that the run has used; they are taken first.

    Raises:
        SlurmError: there is no such partition or node, or there are too few; see `_call`.
    """
    known = _nodes()
    wanted = list(partitions) or [node.partition for node in known if node.partition[-1:] == "*"]
    named = [_renamed(node) for node in known]
    by_partition = {name: [n for n in named if n.partition == name.rstrip("*")] for name in wanted}
    for name, members in by_partition.items():
        if not members:
            every = ", ".join(sorted({node.partition for node in named}))
            raise SlurmError(f"no partition is named '{name}'", expected=f"one of {every}")
    if not chosen.isdigit() and chosen != "all":
        return _listed([node for members in by_partition.values() for node in members], chosen)
    picked: dict[str, Node] = {}  # a node that is in two partitions runs once
    for name, members in by_partition.items():
        usable = [n for n in members if n.state in _USABLE and n.name not in picked]
        usable.sort(key=lambda node: (node.name not in before, _USABLE.index(node.state)))
        count = len(usable) if chosen == "all" else int(chosen)
        if not usable or count > len(usable):
            raise SlurmError(
                f"--nodes {chosen}: the partition {name.rstrip('*')} has {len(usable)} nodes"
                " that are up",
                hint="sinfo --Node lists the nodes and their states",
            )
        picked |= {node.name: node for node in usable[:count]}
    return list(picked.values())


class Site(NamedTuple):
    """From Slurm's configuration: the cluster's name, and the most tasks of an array."""

    cluster: str
    most_tasks: int


def site() -> Site:
    """The cluster that this machine belongs to.

    Raises:
        SlurmError: see `_call`.
    """
    text = _call("scontrol", "show", "config")
    config = dict(re.findall(r"^(ClusterName|MaxArraySize)\s*=\s*(\S+)", text, re.MULTILINE))
    most = config.get("MaxArraySize", "")
    return Site(config.get("ClusterName", ""), max(1, int(most)) if most.isdigit() else 1000)


def submit(arguments: Sequence[str]) -> str:
    """Submit a script with sbatch; returns the number of the job or array.

    Raises:
        SlurmError: see `_call`.
    """
    return _call("sbatch", "--parsable", *arguments).strip().partition(";")[0]


def states(jobs: Iterable[str]) -> dict[str, TaskState]:
    """The states of the tasks of some arrays that Slurm still knows, by "ARRAY_TASK".

    Slurm forgets a task some minutes after its end, unless the cluster has accounting.

    Raises:
        SlurmError: see `_call`; then nothing is known of any task.
    """
    numbers = ",".join(dict.fromkeys(jobs))
    if not numbers:
        return {}
    shown = f"--format={'|'.join(_COLUMNS)}"
    options = ("--noheader", "--array", "--states=all", shown, f"--jobs={numbers}")
    try:
        text = _call("squeue", *options)
    except SlurmError as error:
        if "Invalid job id" not in error.problem:  # of a single job that it has forgotten
            raise
        text = ""
    rows = [line.split("|") for line in text.splitlines()]
    known = {
        row[0]: TaskState(state=row[1], reason=row[2]) for row in rows if len(row) == len(_COLUMNS)
    }
    return _accounted(numbers) | known


def _accounted(numbers: str) -> dict[str, TaskState]:
    """The states of tasks that have ended, for as long as Slurm's accounting keeps them.

    Many clusters have no accounting, so a failure is ignored; squeue knows all other tasks.
    """
    options = ("--noheader", "--parsable2", "--allocations", "--format=JobID,State")
    try:
        text = _call("sacct", *options, f"--jobs={numbers}")
    except SlurmError:
        return {}
    rows = (line.split("|") for line in text.splitlines() if line.count("|") == 1)
    state_of = {job: state.split(" ")[0] for job, state in rows}  # "CANCELLED by 1000"
    return {job: TaskState(state=s, reason="") for job, s in state_of.items() if s in _ENDED}


def cancel(jobs: Iterable[str]) -> None:
    """Cancel jobs or arrays.

    Raises:
        SlurmError: see `_call`.
    """
    _call("scancel", *jobs)


def own_task(variables: Mapping[str, str]) -> SlurmTask | None:
    """The task of Slurm that a process runs in; None if it runs in none.

    Args:
        variables: those of the process.
    """
    array, index = variables.get("SLURM_ARRAY_JOB_ID"), variables.get("SLURM_ARRAY_TASK_ID")
    job = f"{array}_{index}" if array and index else variables.get("SLURM_JOB_ID")
    node = variables.get("SLURMD_NODENAME")
    if not job or not node:
        return None
    restarts = variables.get("SLURM_RESTART_COUNT", "0")
    return SlurmTask(
        job=job,
        attempt=1 + (int(restarts) if restarts.isdigit() else 0),
        node=node,
        partition=variables.get("SLURM_JOB_PARTITION", ""),
        gpus=variables.get("SLURM_JOB_GPUS") or variables.get("SLURM_STEP_GPUS", ""),
    )


def other_nodes(device: str) -> tuple[str, ...]:
    """Slurm's list of nodes for the key of a job or verification on several nodes; else nothing."""
    return (os.environ.get("SLURM_JOB_NODELIST", ""),) if nodes_of(device) > 1 else ()


def job_nodes(variables: Mapping[str, str]) -> tuple[int, int]:
    """The number of nodes of a process's Slurm job, and the index of the process's own node.

    (0, 0) if it runs in no job.

    Args:
        variables: those of the process.
    """
    count, number = (variables.get(f"SLURM_{name}", "") for name in ("JOB_NUM_NODES", "NODEID"))
    is_on_node = count.isdigit() and number.isdigit()  # not where `salloc` was typed
    return (int(count), int(number)) if is_on_node else (0, 0)


def _nodes() -> list[Node]:
    """Every node of every partition; the default partition's name ends with "*"."""
    rows = []
    for line in _call("sinfo", "--noheader", "--Node", "--format=%P|%N|%T|%c|%m|%G").splitlines():
        partition, name, state, cpus, memory, gres = line.split("|", 5)
        rows.append(
            Node(
                name=name,
                partition=partition,
                cpus=int(cpus.rstrip("+")),
                memory_bytes=int(memory.rstrip("+")) << 20,
                gpus=_gpus(gres),
                state=state if _NOT_RESPONDING in state else state.rstrip("~#!%$@^-+"),
            )
        )
    return rows


def _gpus(gres: str) -> int:
    """The number of GPUs in a text such as "gpu:a100:4(S:0-1),gpu:h100:2"; 0 for "(null)"."""
    numbers = re.findall(r"(?:^|,)gpu(?::[^,:()]+)*?:(\d+)(?=[,(]|$)", gres)
    return sum(map(int, numbers))


def _renamed(node: Node) -> Node:
    return replace(node, partition=node.partition.rstrip("*"))


def _listed(among: Sequence[Node], text: str) -> list[Node]:
    by_name: dict[str, Node] = {}
    for node in among:
        by_name.setdefault(node.name, node)
    names = _call("scontrol", "show", "hostnames", text).split()
    missing = [name for name in names if name not in by_name]
    if missing or not names:
        raise SlurmError(
            f"--nodes {text}: the partition has no node {', '.join(missing) or text}",
            expected="a number, all, or nodes of the partition, e.g. gpu[001-004]",
            hint="sinfo --Node lists them",
        )
    return [by_name[name] for name in dict.fromkeys(names)]


def _call(program: str, *arguments: str) -> str:
    """The output of one of Slurm's programs.

    Raises:
        SlurmError: the program is not on this machine, takes more than a minute, or fails.
    """
    path = shutil.which(program)
    if path is None:
        raise SlurmError(
            f"Slurm is not on this machine: no program {program}",
            hint="use a login node of the cluster; without Slurm: bench run",
        )
    variables = {k: v for k, v in os.environ.items() if not k.startswith(_USERS_FORMATS)}
    try:
        done = subprocess.run(
            [path, *arguments],
            capture_output=True,
            text=True,
            check=True,
            timeout=_SECONDS,
            env=variables,
            stdin=subprocess.DEVNULL,
        )
    except subprocess.TimeoutExpired:
        raise SlurmError(
            f"{program} did not answer within {_SECONDS:.0f} s",
            hint="check with `scontrol ping` that Slurm's controller is up; then try again",
        ) from None
    except subprocess.CalledProcessError as error:
        said = " ".join(str(error.stderr).split()) or f"exit code {error.returncode}"
        raise SlurmError(f"{program} failed: {said}") from None
    except OSError as error:
        raise SlurmError(f"{program} cannot be started: {error.strerror}") from error
    return done.stdout
