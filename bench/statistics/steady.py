"""Steady epochs: the epochs of a job after its warm-up. Also the break-even of compiling.

Every figure of speed uses only steady epochs: the stopping rule, `bench calibrate`, the progress
display, tables and plots.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil, isfinite, nan
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from backends.contract import Job, kind_of
from backends.registry import BACKENDS
from bench.records.job import Record, group_of
from bench.statistics.timing import process_seconds

Clock = Literal["wall_seconds", "cpu_seconds"]
CLOCKS: tuple[Clock, ...] = ("wall_seconds", "cpu_seconds")
# With fewer epochs the warm-up is taken to be the first epoch. After a longer warm-up too few
# epochs would be left to see that they are steady.
FEWEST_EPOCHS = 20
_FEWEST_PROCESSES = 2
# Without a warm-up, 1 of 100 results is above 1; simulated: 1 to 2, and up to 4 if slowdowns last
# several epochs. 2,000 draws estimate a probability of 1 % with an error of a quarter of it.
_WARM_UP_LEVEL = 0.01
_DRAWS = 2000


def warm_ups(records: Iterable[Record]) -> dict[str, int]:
    """The number of warm-up epochs at the start of each job, by the key of its record.

    All later epochs are steady. The number is the same for all jobs of one backend and mode in one
    group, see `warm_up_epochs`; on a GPU at least `Entry.warm_up_on_gpus`. It is 0 for a job of a
    single epoch.
    """
    by_backend: dict[object, list[Record]] = defaultdict(list)
    for record in records:
        group = group_of(record.job, record.data.checksum, record.machine.name)
        by_backend[group, record.job.backend, record.job.mode].append(record)
    numbers = {}
    for jobs in by_backend.values():
        epochs = warm_up_epochs(
            [
                [epoch.training.wall_seconds / epoch.epochs for epoch in record.epochs]
                for record in jobs
                if record.status == "ok"
            ]
        )
        for record in jobs:
            least = max(epochs, _least_warm_up(record.job))
            numbers[record.key] = min(least, max(len(record.epochs) - 1, 0))
    return numbers


def _least_warm_up(job: Job) -> int:
    entry = BACKENDS.get(job.backend)
    return entry.warm_up_on_gpus if entry and kind_of(job.device) != "cpu" else 1


def steady_seconds(record: Record, warm_up: int, clock: Clock = "wall_seconds") -> float:
    """The median time of a job's steady epochs, in seconds; see `timing.process_seconds`.

    Args:
        record: the record of the job.
        warm_up: the number of its warm-up epochs, see `warm_ups`.
        clock: wall time or CPU time.
    """
    return process_seconds(
        [
            nan if (seconds := getattr(epoch.training, clock)) is None else seconds / epoch.epochs
            for epoch in record.epochs[warm_up:]
        ]
    )


def warm_up_epochs(processes: Sequence[Sequence[float]]) -> int:
    """The number of warm-up epochs at the start of every process.

    It is 1, or more if several epochs are shown to be slower. The first epoch always counts as
    warm-up. The test uses the later epochs. It ranks them within their process, and averages the
    ranks over processes. It compares the first k epochs with the rest, for every k from 1 to half
    of them, divides each difference by its standard deviation, and takes the largest. This is a
    warm-up if randomized processes seldom reach it. A randomized process starts at a random epoch
    and continues in a circle, so slowdowns of several epochs stay together. With shuffled epochs,
    these slowdowns would be mistaken for a warm-up in up to one of six cases.

    Args:
        processes: the seconds of all epochs of each process; a process with NaN failed and is left
            out.

    Returns:
        The number; 1 with fewer than 20 epochs or fewer than two processes, 0 with a single epoch.
    """
    times_of_processes = [
        np.asarray(epochs, dtype=np.float64)
        for epochs in processes
        if isfinite(process_seconds(epochs))
    ]
    count = len(times_of_processes)
    epochs = min((len(times) for times in times_of_processes), default=0)
    if epochs < FEWEST_EPOCHS or count < _FEWEST_PROCESSES:
        return min(1, max(epochs - 1, 0))
    later = epochs - 1
    seconds = np.array([times[1:epochs] for times in times_of_processes])  # (processes, later)
    ranks = seconds.argsort(axis=1).argsort(axis=1)  # (processes, later)
    starts = np.random.default_rng(0).integers(0, later, (count, _DRAWS, 1))
    random_means = np.zeros((_DRAWS, later))  # summed process by process, to save memory
    for process_ranks, process_starts in zip(ranks, starts, strict=True):
        random_means += process_ranks[(np.arange(later) + process_starts) % later] / count
    excess = _excess(ranks.mean(axis=0))
    as_large = np.count_nonzero(_excess(random_means).max(axis=1) >= excess.max() * (1 - 1e-9))
    return int(excess.argmax()) + 2 if (1 + as_large) / (1 + _DRAWS) <= _WARM_UP_LEVEL else 1


def break_even(
    compile_seconds: float, first_epoch: float, compiled_epoch: float, eager_epoch: float
) -> int | None:
    """The number of epochs after which the compiled variant breaks even with the eager one.

    None if the compiled variant always takes longer.

    Args:
        compile_seconds: the time of compiling outside epochs.
        first_epoch: the time of the compiled variant's first epoch, in seconds.
        compiled_epoch: the time of each of its later epochs, in seconds.
        eager_epoch: the time of each epoch of the eager variant, in seconds.
    """
    extra = compile_seconds + first_epoch - eager_epoch  # after one epoch
    if extra <= 0:
        return 1
    saved = eager_epoch - compiled_epoch
    return 1 + ceil(extra / saved) if saved > 0 and isfinite(extra) else None


def _excess(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """The excess of the first 1, 2, ... n/2 ranks over the mean rank, in standard deviations.

    Args:
        ranks: (..., n), values from 0 to n - 1.

    Returns:
        (..., n/2), up to a constant factor.
    """
    n = ranks.shape[-1]
    heads = np.arange(1, n // 2 + 1)
    sums = np.cumsum(ranks - (n - 1) / 2, axis=-1)[..., : n // 2]
    excess: NDArray[np.float64] = sums / np.sqrt(heads * (n - heads))
    return excess
