"""JAX on several nodes: a process per node, each with that node's ranks.

The worker only passes on calls: JAX ends a process with SIGABRT when another one dies.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from math import ceil
from typing import Any

import jax
import msgspec
import numpy as np
from jax import Array, dtypes, random
from jax.sharding import NamedSharding

from backends import contract
from backends.contract import Job, Unsupported, kind_of, nodes_of
from backends.cores import cores_first
from backends.far.child import ChildError
from backends.far.near import probe
from backends.far.node import this_node
from backends.far.team import WAIT_SECONDS, SharedCalls, team_of
from backends.jax.ranks import JaxRanks


class JaxNodes(SharedCalls):
    """Each call is made in the processes of all nodes at the same time."""

    def __init__(self, job: Job) -> None:
        """Start the processes, and build the model there.

        Raises:
            ChildError: a process ends, fails, or does not answer.
            Unsupported: see `Backend`.
        """
        numbers = range(nodes_of(job.device))
        self._team = team_of(
            f"{Node.__module__}:{Node.__name__}",
            [f"process 0 on {this_node()}", *(f"process {number}" for number in numbers[1:])],
            numbers,
            "is JAX complete?",
            on_gpu=kind_of(job.device) != "cpu",
        )
        try:
            hosts = [child.host() for child in self._team.children]  # when all have been started
            whole = {
                "job": msgspec.to_builtins(job),
                "port": _free_port(),
                "seconds": max(1, ceil(WAIT_SECONDS)),
            }
            for number, child in enumerate(self._team.children):
                child.begin("begin", {**whole, "number": number, "host": hosts[number]}, probe())
        except ChildError:
            self._team.end()
            raise
        self._team.results(WAIT_SECONDS)

    def processes(self) -> Sequence[int] | None:
        return None  # those of other nodes are not known here

    def get_weights(self) -> contract.Weights:
        weights: contract.Weights = self._team.first("get_weights")
        return weights

    def predict(self, images: contract.Images) -> contract.Logits:
        logits: contract.Logits = self._team.first("predict", images)
        return logits

    def sync(self) -> None:
        self._in_all("sync")

    def device_memory(self) -> contract.DeviceMemory | None:
        peak = self._team.first("peak")
        return None if peak is None else contract.DeviceMemory(allocator_peak_bytes=peak)

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**self._team.first("settings"), **self._team.nodes()}

    def transport_seconds(self) -> float:
        return self._team.children[0].transport_seconds()

    def _in_all(self, method: str, *arguments: Any) -> Any:
        """Call a method on all nodes, and return the result of the first.

        A process that died or was stopped is noticed by the others, after `WAIT_SECONDS` at most.

        Raises:
            ChildError: a process ended or raised an error.
        """
        self._team.begin(method, *arguments)
        return self._team.results(None)[0]


class Node(JaxRanks):
    """The ranks of one node, in a process of its own, see `backends.far.near`."""

    def __init__(self, description: dict[str, Any]) -> None:
        """Join the other nodes, and build the model.

        Args:
            description: the job as builtins; this node's number; host and port of the first node,
                where all meet; and how many seconds they wait for each other.

        Raises:
            Unsupported: see `Backend`.
        """
        job = msgspec.convert(description["job"], Job)
        if not jax.distributed.is_initialized():  # or an earlier adapter did it
            _use_threads(job.threads)
            jax.config.update("jax_cpu_collectives_implementation", "gloo")
            jax.distributed.initialize(
                f"{description['host']}:{description['port']}",
                num_processes=nodes_of(job.device),
                process_id=description["number"],
                cluster_detection_method="deactivate",  # Slurm's step says nothing of the GPUs
                initialization_timeout=description["seconds"],
                heartbeat_timeout_seconds=description["seconds"],
            )
        super().__init__(job)

    def peak(self) -> int | None:
        """The peak of the device's memory, in bytes; None for a CPU."""
        memory = self.device_memory()
        return None if memory is None else memory.allocator_peak_bytes

    def settings(self) -> dict[str, str | int | bool | None]:
        collectives = jax.config.jax_cpu_collectives_implementation
        on_cpu = self._device.platform == "cpu"
        return {**super().settings(), "collectives": collectives if on_cpu else "nccl"}

    def _put(self, values: Any, sharding: NamedSharding) -> Any:
        return jax.tree.map(lambda value: _place_own(value, sharding), values)

    def _values(self) -> dict[str, Array]:
        """Copies on this node's first device, so that no other node has to be called."""
        return {name: value.addressable_data(0) for name, value in super()._values().items()}


def _place_own(value: Any, sharding: NamedSharding) -> Array:
    """An array over all nodes, of which each node places its own part; all nodes have the values.

    `jax.device_put` would send the values to all nodes, to see whether they are equal.
    """
    if isinstance(value, Array) and not value.is_fully_addressable:  # it is placed
        return value
    if isinstance(value, Array) and dtypes.issubdtype(value.dtype, dtypes.prng_key):
        return random.wrap_key_data(_place_own(random.key_data(value), sharding))
    whole = np.asarray(value)
    return jax.make_array_from_callback(whole.shape, sharding, lambda index: whole[index])


def _use_threads(count: int) -> None:
    """Use so many CPUs: XLA has a thread for each one that the scheduler allows.

    Raises:
        Unsupported: the node has fewer.
    """
    if hasattr(os, "sched_setaffinity"):
        allowed = os.sched_getaffinity(0)
        if len(allowed) < count:
            raise Unsupported(
                f"{this_node()} has {len(allowed)} CPUs for this job, and {count} threads are"
                " wanted"
            )
        os.sched_setaffinity(0, cores_first(sorted(allowed))[:count])


def _free_port() -> int:
    with socket.create_server(("", 0)) as server:
        port: int = server.getsockname()[1]
    return port
