"""Which epochs of a job are steady, and after how many epochs compiling breaks even.

The steady epochs are those that every figure of speed is made of: the stopping rule, `bench
calibrate`, the progress display, tables and plots all ask this module.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from math import ceil, isfinite
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bench.records.job import Record, group_of
from bench.statistics.timing import process_seconds

Clock = Literal["wall_seconds", "cpu_seconds"]
CLOCKS: tuple[Clock, ...] = ("wall_seconds", "cpu_seconds")
# With fewer epochs the first alone is left out: a warm-up of several would leave too few to see
# that they are steady.
FEWEST_EPOCHS = 20
_FEWEST_PROCESSES = 2
# False alarms in 1 of 100 without a warm-up; 2,000 draws give such a chance to a quarter of itself.
_WARM_UP_LEVEL = 0.01
_DRAWS = 2000


def warm_ups(records: Iterable[Record]) -> dict[str, int]:
    """How many epochs at the start of each job are its warm-up, by the key of its record.

    All later epochs are steady. It is 1, or more where the jobs of one backend in one group show it
    together, see `warm_up_epochs`. It is 0 for a job of a single epoch, which is all there is.
    """
    alike: dict[object, list[Record]] = defaultdict(list)
    for record in records:
        group = group_of(record.job, record.data.checksum, record.machine.name)
        alike[group, record.job.backend, record.job.mode].append(record)
    found = {}
    for jobs in alike.values():
        epochs = warm_up_epochs(
            [
                [epoch.training.wall_seconds for epoch in record.epochs]
                for record in jobs
                if record.status == "ok"
            ]
        )
        for record in jobs:
            found[record.key] = min(max(epochs, 1), max(len(record.epochs) - 1, 0))
    return found


def steady_seconds(record: Record, warm_up: int, clock: Clock = "wall_seconds") -> float:
    """The time of a job's steady epoch, in seconds: the median; see `timing.process_seconds`.

    Args:
        record: of the job.
        warm_up: how many of its epochs are its warm-up, see `warm_ups`.
        clock: which time.
    """
    return process_seconds([getattr(e.training, clock) for e in record.epochs[warm_up:]])


def warm_up_epochs(processes: Sequence[Sequence[float]], level: float = _WARM_UP_LEVEL) -> int:
    """How many epochs at the start of every process are not yet steady.

    It is one, or more if several are shown to be slower. The first epoch never counts as steady,
    and as it is nearly always slow, it says nothing about the next ones. These are ranked within
    their process, and the ranks are averaged over processes. The first k of them are compared with
    the rest, for every k from 1 to half of them; each difference is divided by its standard
    deviation, and the largest counts. It is a warm-up if it would seldom be as large in the same
    processes, each begun at a random epoch and continued in a circle. That keeps slowdowns of
    several epochs together; shuffled epochs would take them for a warm-up in up to one of six
    cases.

    Args:
        processes: all epochs of each, in seconds; what is not a number is a process that failed,
            and left out.
        level: the chance of a result above 1 without a warm-up; simulated at 1 of 100: 1 to 2 of
            100, and up to 4 where slowdowns last several epochs.

    Returns:
        1 with fewer than 20 epochs or two processes; 0 with one epoch, which is all there is.
    """
    ran = [
        np.asarray(epochs, dtype=np.float64)
        for epochs in processes
        if isfinite(process_seconds(epochs))
    ]
    epochs = min((len(times) for times in ran), default=0)
    if epochs < FEWEST_EPOCHS or len(ran) < _FEWEST_PROCESSES:
        return min(1, max(epochs - 1, 0))
    later = epochs - 1
    seconds = np.array([times[1:epochs] for times in ran])  # (processes, later)
    ranks = seconds.argsort(axis=1).argsort(axis=1)  # (processes, later)
    lots = np.random.default_rng(0).integers(0, later, (len(ran), _DRAWS, 1))
    drawn = np.zeros((_DRAWS, later))  # process by process, as all at once may not fit
    for own, lot in zip(ranks, lots, strict=True):
        drawn += own[(np.arange(later) + lot) % later] / len(ran)
    found = _excess(ranks.mean(axis=0))
    as_large = np.count_nonzero(_excess(drawn).max(axis=1) >= found.max() * (1 - 1e-9))
    return int(found.argmax()) + 2 if (1 + as_large) / (1 + _DRAWS) <= level else 1


def break_even(
    compile_seconds: float, first_epoch: float, compiled_epoch: float, eager_epoch: float
) -> int | None:
    """The number of epochs after which the compiled variant has taken no longer than the eager one.

    None if it always takes longer.

    Args:
        compile_seconds: what compiling takes outside epochs.
        first_epoch: the compiled variant's first epoch, in seconds.
        compiled_epoch: each later epoch of it, in seconds.
        eager_epoch: each epoch of the eager variant, in seconds.
    """
    extra = compile_seconds + first_epoch - eager_epoch  # after one epoch
    if extra <= 0:
        return 1
    saved = eager_epoch - compiled_epoch
    return 1 + ceil(extra / saved) if saved > 0 and isfinite(extra) else None


def _excess(ranks: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far the first 1, 2, ... n/2 ranks lie above the mean, in standard deviations.

    Args:
        ranks: (..., n), from 0 to n - 1.

    Returns:
        (..., n/2), up to a constant factor.
    """
    n = ranks.shape[-1]
    heads = np.arange(1, n // 2 + 1)
    sums = np.cumsum(ranks - (n - 1) / 2, axis=-1)[..., : n // 2]
    found: NDArray[np.float64] = sums / np.sqrt(heads * (n - heads))
    return found
