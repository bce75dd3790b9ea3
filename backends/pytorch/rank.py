"""One of several PyTorch processes that share each batch: `DistributedDataParallel`."""

from __future__ import annotations

from datetime import timedelta  # noqa: TID251 - a length of time, no clock
from typing import Any

import msgspec
import torch
from msgspec.structs import replace
from torch import distributed
from torch.nn.parallel import DistributedDataParallel

from backends import contract
from backends.contract import Job, Unsupported, check_ranks, first_of, kind_of, ranks_per_node
from backends.pytorch.device import torch_settings
from backends.pytorch.eager import PyTorch, _Batch
from specs.model import BatchNorm

_HOST = "127.0.0.1"


class Rank(PyTorch):
    """The adapter's calls, made in every process at the same time.

    Each trains on its part of every batch. `DistributedDataParallel` averages the gradients, so all
    of them make the same step.
    """

    def __init__(self, job: Job, rank: int, store: distributed.Store, wait_seconds: float) -> None:
        """Join the other ranks, and build the model.

        Args:
            job: the job; its threads are those of all ranks of a node.
            rank: the number of this process, from 0.
            store: where the ranks find each other.
            wait_seconds: how long a rank waits for the others in a step. One that has ended is
                noticed at once.

        Raises:
            Unsupported: see `Backend`.
        """
        if any(isinstance(layer, BatchNorm) for layer in job.workload.layers):
            raise Unsupported(
                "batch norm over the batch of all ranks is SyncBatchNorm in PyTorch, which has no"
                " CPU implementation and is not used here yet"
            )
        on_cpu = kind_of(job.device) == "cpu"
        if not on_cpu:
            # Before anything else uses CUDA.
            torch.cuda.set_device(rank % ranks_per_node(job.device))
        if distributed.is_initialized():  # by an earlier adapter; `bench verify` makes several
            distributed.destroy_process_group()
        distributed.init_process_group(
            "gloo" if on_cpu else "nccl",
            store=store,
            rank=rank,
            world_size=job.ranks,
            timeout=timedelta(seconds=wait_seconds),
        )
        self._shared_job, self._rank = job, rank
        threads = max(1, job.threads // ranks_per_node(job.device))
        super().__init__(replace(job, device=first_of(job.device), threads=threads))
        parallel = DistributedDataParallel(self._model, gradient_as_bucket_view=True)
        self._loss_of = self._loss_with(parallel)
        self._seed_dropout()

    def load(self, images: contract.Images, labels: contract.Labels) -> None:
        check_ranks(self._shared_job, len(labels))
        super().load(images, labels)

    def reset(self, weights: contract.Weights) -> None:
        super().reset(weights)
        self._seed_dropout()

    def settings(self) -> dict[str, str | int | bool | None]:
        return {
            **super().settings(),
            "threads": torch_settings()["threads"],
            "ranks": distributed.get_world_size(),
            "process_group": distributed.get_backend(),
        }

    def _seed_dropout(self) -> None:
        """Give each rank masks of its own, as they have different examples."""
        torch.manual_seed(self._job.seed + self._rank)

    def _own_part(self, batch: _Batch) -> _Batch:
        ranks = self._shared_job.ranks
        ends = [len(batch) * rank // ranks for rank in (self._rank, self._rank + 1)]
        return batch[slice(*ends)]

    def _backward(self, loss: torch.Tensor, share: float) -> None:
        # The gradients are averaged over the ranks, as if their parts were equal.
        weight = share * self._shared_job.ranks
        (loss if weight == 1.0 else loss * weight).backward()

    def _over_ranks(self, total: torch.Tensor) -> torch.Tensor:
        distributed.all_reduce(total)
        return total


def open_store(ranks: int) -> distributed.TCPStore:
    """The place where the ranks find each other; it has a free port, of all addresses."""
    return distributed.TCPStore(_HOST, 0, ranks, is_master=True, wait_for_workers=False)


def named(store: distributed.Store, name: str) -> distributed.Store:
    """A part of the store that only those find who know its name."""
    return distributed.PrefixStore(name, store)


class OtherRank(Rank):
    """A rank in a process of its own, see `backends.far.near`."""

    def __init__(self, description: dict[str, Any]) -> None:
        job, wait = msgspec.convert(description["job"], Job), description["wait_seconds"]
        store = distributed.TCPStore(
            description["host"],
            description["port"],
            job.ranks,
            is_master=False,
            timeout=timedelta(seconds=wait),
        )
        super().__init__(job, description["rank"], named(store, description["name"]), wait)
