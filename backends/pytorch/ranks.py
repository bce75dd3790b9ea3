"""PyTorch on several ranks: the worker is rank 0 and starts a process for each of the others."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import torch

from backends import contract
from backends.contract import Job, kind_of, nodes_of, ranks_per_node
from backends.far.child import ChildError
from backends.far.near import probe
from backends.far.team import LAST_SECONDS, WAIT_SECONDS, SharedCalls, team_of
from backends.pytorch.rank import OtherRank, Rank, named, open_store

# How many seconds a rank waits for the others in a step: less than the bench itself waits, so that
# PyTorch says which connection it is.
_STEP_SECONDS = 0.8 * WAIT_SECONDS


class PyTorchRanks(SharedCalls):
    """Rank 0, in this process; each call is made to all ranks at the same time."""

    def __init__(self, job: Job) -> None:
        self._job, store, name = job, open_store(job.ranks), secrets.token_hex()
        ranks, on_each = range(1, job.ranks), ranks_per_node(job.device)
        self._others = team_of(
            f"{OtherRank.__module__}:{OtherRank.__name__}",
            [f"rank {rank}" for rank in ranks],
            [rank // on_each for rank in ranks],
            "is PyTorch complete?",
            on_gpu=kind_of(job.device) != "cpu",
        )
        try:
            for rank, other in enumerate(self._others.children, start=1):
                place = {"host": other.host(), "port": store.port, "name": name}
                whole = {
                    "job": msgspec.to_builtins(job),
                    "rank": rank,
                    "wait_seconds": _STEP_SECONDS,
                }
                other.begin("begin", whole | place, probe())
        except ChildError:
            self._others.end()
            raise
        self._own: Rank = self._with_others(lambda: Rank(job, 0, named(store, name), _STEP_SECONDS))

    def processes(self) -> Sequence[int] | None:
        """The IDs of the other ranks; None if some are on other nodes."""
        on_one = nodes_of(self._job.device) == 1
        return [other.pid for other in self._others.children] if on_one else None

    def get_weights(self) -> contract.Weights:
        return self._own.get_weights()

    def predict(self, images: contract.Images) -> contract.Logits:
        return self._own.predict(images)

    def sync(self) -> None:
        self._own.sync()

    def device_memory(self) -> contract.DeviceMemory | None:
        return self._own.device_memory()  # the other ranks have as much

    def settings(self) -> dict[str, str | int | bool | None]:
        return {**self._own.settings(), **self._others.nodes()}

    def _in_all(self, method: str, *arguments: Any) -> Any:
        """Call a method in all ranks, and return the result of this one.

        Raises:
            ChildError: another rank ended or raised an error.
        """
        self._others.begin(method, *arguments)
        return self._with_others(lambda: getattr(self._own, method)(*arguments))

    def _with_others(self, call: Callable[[], Any]) -> Any:
        """The result of this rank's call, when the others have ended theirs.

        Raises:
            ChildError: another rank ended or failed, which breaks the connections of all.
            Exception: what this rank's own call raises.
        """
        try:
            with self._others.watching("rank 0"):
                result = call()
        except torch.OutOfMemoryError:  # of this rank
            self._others.end()
            raise
        except RuntimeError as error:  # as PyTorch's when a connection breaks or nobody answers
            self._others.results(LAST_SECONDS, error)
            raise
        except Exception:
            self._others.end()  # they would wait for this rank
            raise
        self._others.results(WAIT_SECONDS)
        return result
