"""PyTorch on several ranks: the worker is rank 0 and starts a process for each of the others."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

import specs
from backends import contract
from backends.contract import Job, Unsupported
from backends.far.child import Child, ChildError
from backends.far.near import probe
from backends.pytorch.rank import OtherRank, Rank, open_store

# The processes of the other ranks. Their start takes seconds, so the next adapter has them again:
# `bench verify` makes many.
_processes: list[Child] = []


class PyTorchRanks:
    """Rank 0, in this process; each call is made to all ranks at the same time."""

    def __init__(self, job: Job) -> None:
        store = open_store(job.ranks)
        self._others = _take_processes(job.ranks - 1)
        for rank, other in enumerate(self._others, start=1):
            description = {"job": msgspec.to_builtins(job), "rank": rank, "port": store.port}
            other.begin("begin", description, probe())
        try:
            self._own = Rank(job, 0, store)
        finally:
            self._end_of_others()

    def processes(self) -> Sequence[int]:
        """The IDs of the other ranks."""
        return [other.pid for other in self._others]

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
        return self._own.settings()

    def _in_all(self, method: str, *arguments: Any) -> Any:
        """Call a method in all ranks, and return the result of this one.

        Raises:
            ChildError: another rank ended or raised an error.
        """
        for other in self._others:
            other.begin(method, *arguments)
        try:
            return getattr(self._own, method)(*arguments)
        finally:
            self._end_of_others()

    def _end_of_others(self) -> None:
        """Wait for the others; they raise their error, also if this rank has one.

        A rank that ends or fails breaks the connections, so all have an error. That of a rank that
        does not answer is theirs, too, as it is not waited for longer than `rank.WAIT`.
        """
        errors = []
        for other in self._others:
            try:
                other.result()
            except (ChildError, Unsupported, MemoryError) as error:
                errors.append(error)
        if errors:
            for other in self._others:
                other.close()
            _processes.clear()
            raise errors[0]


def _take_processes(count: int) -> list[Child]:
    """So many processes; those that are missing are started."""
    target = f"{OtherRank.__module__}:{OtherRank.__name__}"
    while len(_processes) < count:
        _processes.append(
            Child(sys.executable, target, [Path(specs.__file__).parent], "is PyTorch complete?")
        )
    return _processes[:count]
