"""PyTorch on several ranks: the worker is rank 0 and starts a process for each of the others."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
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
        self._own: Rank = self._with_others(lambda: Rank(job, 0, store))

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
        return self._with_others(lambda: getattr(self._own, method)(*arguments))

    def _with_others(self, call: Callable[[], Any]) -> Any:
        """The result of this rank's call, when the others have ended theirs.

        Raises:
            ChildError: another rank ended or failed, which breaks the connections of all.
            Exception: what this rank's own call raises.
        """
        try:
            result = call()
        except RuntimeError:  # of PyTorch: the connections are broken, or nobody answers
            self._wait()
            raise
        except Exception:
            self._end()  # they would wait for this rank
            raise
        self._wait()
        return result

    def _wait(self) -> None:
        for other in self._others:
            try:
                other.result()
            except (ChildError, Unsupported, MemoryError):
                self._end()
                raise

    def _end(self) -> None:
        """End the processes of the others; the next adapter starts new ones."""
        for other in self._others:
            other.close()
        _processes.clear()


def _take_processes(count: int) -> list[Child]:
    """So many processes; those that are missing are started."""
    target = f"{OtherRank.__module__}:{OtherRank.__name__}"
    while len(_processes) < count:
        _processes.append(
            Child(sys.executable, target, [Path(specs.__file__).parent], "is PyTorch complete?")
        )
    return _processes[:count]
