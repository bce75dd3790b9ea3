"""Runs rounds of each group until it has enough undisturbed rounds or is precise enough.

A run may be stopped and resumed at any time, as its intervals are valid after every round (see
`bench.statistics.sequential`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations, count
from math import isfinite
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.machine.disturbance import reasons, which_count
from bench.records.job import Record, backend_name
from bench.records.turns import Turns
from bench.runner.plan import Group
from bench.runner.task import Observer, TrainingTask
from bench.statistics.judgement import NOT_JUDGED, judgements
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.steady import steady_seconds, warm_ups
from bench.statistics.timing import precision
from bench.statistics.turns import (
    NOTHING_KNOWN,
    JobTimes,
    ProcessSpread,
    compare_turns,
    log_ratios_of,
)
from bench.worker.clock import monotonic_seconds

# At most this many times the requested number of rounds are run to replace disturbed rounds.
_MOST_ROUNDS_FACTOR = 2


class Times(NamedTuple):
    """What the times of jobs follow from, beside their records.

    Attributes:
        taken: key -> the turns; those of later rounds are added while the run goes on.
        spread_of: how much two processes of one backend differ where a job ran.
    """

    taken: Mapping[str, Turns]
    spread_of: Callable[[Record], ProcessSpread]

    def _precision_text(value: float | None) -> str:
    if value is None or not isfinite(value):
        return "too few rounds to say"
    return f"precise to {100 * value:.2g} %"


def _rounds_text(number: int) -> str:
    return "1 round" if number == 1 else f"{number} rounds"


def _repetition(record: Record) -> tuple[int, int]:
    return record.job.round, record.job.seed


def _belongs_to(record: Record, group: Group) -> bool:
    job, training = record.job, group.training
    size = training.batch_size or training.workload.recipe.batch_size
    return (job.workload, job.batch_size, job.device) == (training.workload, size, group.device)
