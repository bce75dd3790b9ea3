"""PyTorch on several ranks: the worker is rank 0 and starts a process for each of the others."""

from __future__ import annotations

import os
import secrets
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec
import torch

import specs
from backends import contract
from backends.contract import Job, Unsupported, kind_of, nodes_of, ranks_per_node
from backends.far.child import Child, ChildError, ChildGoneError
from backends.far.near import probe
from backends.far.node import NodeChild, this_node
from backends.pytorch.rank import OtherRank, Rank, named, open_store

# How many seconds a rank waits for the others. One that has ended is noticed at once, and one that
# hangs within a minute.
_WAIT = float(os.environ.get("FRAMEWORK_BENCH_RANK_SECONDS", "50"))  # noqa: TID251 - --variable
# How long the others have to say why this rank could not go on.
_LAST_SECONDS = 5.0
# The processes of the other ranks, by node and rank. Their start takes seconds, so the next adapter
# has them again: `bench verify` makes many.
_processes: dict[tuple[int, int], Child] = {}


class PyTorchRanks:
    """Rank 0, in this process; each call is made to all ranks at the same time."""

    def __init__(self, job: Job) -> None:
        self._job, store, name = job, open_store(job.ranks), secrets.token_hex()
        self._others = [_process_of(job, rank) for rank in range(1, job.ranks)]
        try:
            for rank, other in enumerate(self._others, start=1):
                place = {"host": other.host(), "port": store.port, "name": name}
                whole = {"job": msgspec.to_builtins(job), "rank": rank, "wait_seconds": _WAIT}
                other.begin("begin", whole | place, probe())
        except ChildError:
            self._end()
            raise
        self._own: Rank = self._with_others(lambda: Rank(job, 0, named(store, name), _WAIT))

    def processes(self) -> Sequence[int] | None:
        """The IDs of the other ranks; None if some are on other nodes."""
        return None if nodes_of(self._job.device) > 1 else [other.pid for other in self._others]

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        self._in_all("load", images, labels)

    def set_weights(self, weights: contract.Weights) -> None:
        self._in_all("set_weights", dict(weights))

    def reset(self, weights: contract.Weights) -> None:
        self._in_all("reset", dict(weights))

    def get_weights(self) -> contract.Weights:
        return self._own.get_weights()

    def train_epoch(self, order: contract.Order, masks: contract.Masks | None = None) -> float:
        loss: float = self._in_all("train_epoch", order, masks and list(masks))
        return loss

    def predict(self, images: contract.Images) -> contract.Logits:
        return self._own.predict(images)

    def sync(self) -> None:
        self._own.sync()

    def device_memory(self) -> contract.DeviceMemory | None:
        return self._own.device_memory()  # the other ranks have as much

    def settings(self) -> dict[str, str | int | bool | None]:
        others = [other.node for other in self._others if isinstance(other, NodeChild)]
        nodes = ", ".join(dict.fromkeys([this_node(), *others])) if others else None
        return {**self._own.settings(), **({"nodes": nodes} if nodes else {})}

    def _in_all(self, method: str, *arguments: Any) -> Any:
        """Call a method in all ranks, and return the result of this one.

        Raises:
            ChildError: another rank ended or raised an error.
        """
        try:
            for other in self._others:
                other.begin(method, *arguments)
        except ChildError:
            self._end()
            raise
        return self._with_others(lambda: getattr(self._own, method)(*arguments))

    def _with_others(self, call: Callable[[], Any]) -> Any:
        """The result of this rank's call, when the others have ended theirs.

        Raises:
            ChildError: another rank ended or failed, which breaks the connections of all.
            Exception: what this rank's own call raises.
        """
        try:
            result = call()
        except torch.OutOfMemoryError:  # of this rank
            self._end()
            raise
        except RuntimeError:  # of PyTorch: the connections are broken, or nobody answers
            self._wait(_LAST_SECONDS)
            self._end()
            raise
        except Exception:
            self._end()  # they would wait for this rank
            raise
        self._wait(_WAIT)
        return result

    def _wait(self, seconds: float) -> None:
        """Wait for the answers of the others.

        Args:
            seconds: how long for each; shorter when one has failed, as the rest then fail, too.

        Raises:
            ChildError, Unsupported, MemoryError: what made the first of them fail.
        """
        failures: list[Exception] = []
        for other in self._others:
            try:
                other.result(min(seconds, _LAST_SECONDS) if failures else seconds)
            except (ChildError, Unsupported, MemoryError) as error:
                failures.append(error)
        if failures:
            self._end()
            raise min(failures, key=_may_follow)

    def _end(self) -> None:
        """End the processes of the others; the next adapter starts new ones."""
        for other in self._others:
            other.close()
        _processes.clear()


def _may_follow(failure: Exception) -> bool:
    """Whether a rank may have failed because another one did: its connection is broken."""
    return isinstance(failure, ChildError) and not isinstance(failure, ChildGoneError)


def _process_of(job: Job, rank: int) -> Child:
    """The process of a rank; it is started if there is none."""
    node = rank // ranks_per_node(job.device)
    if (node, rank) not in _processes:
        target = f"{OtherRank.__module__}:{OtherRank.__name__}"
        start = (sys.executable, target, [Path(specs.__file__).parent], "is PyTorch complete?")
        name, on_gpu = f"rank {rank}", kind_of(job.device) != "cpu"
        _processes[node, rank] = (
            NodeChild(*start, name=name, seconds=_WAIT, number=node, on_gpu=on_gpu)
            if node
            else Child(*start, name=name, seconds=_WAIT)
        )
    return _processes[node, rank]
