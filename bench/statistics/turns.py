"""Placeholder until the rule is chosen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite, nan
from typing import NamedTuple

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.statistics.timing import MARGIN, Comparison, compare


class JobTimes(NamedTuple):
    """The times of a job.

    Attributes:
        session: the key of its turns; "" if it took none.
        turns: the seconds of an epoch by each turn: (sweeps,).
        epochs: the seconds of an epoch by its steady epochs; NaN without one.
    """

    session: str
    turns: NDArray[np.float64]
    epochs: float


class ProcessSpread(Struct, frozen=True, kw_only=True):
    """How much two fresh processes of one backend differ."""

    log_ratios: tuple[float, ...]
    source: str


NOTHING_KNOWN = ProcessSpread(log_ratios=(), source="nothing")


def median_ratio(rounds: Sequence[NDArray[np.float64]]) -> float:
    """The ratio of two backends: the median over rounds of the medians of their turns; NaN without.

    Args:
        rounds: of every round the logarithms of its ratios, see `compare_turns`.
    """
    return float(np.exp(np.median([np.median(logs) for logs in rounds]))) if rounds else nan


def compare_turns(
    rounds: Sequence[NDArray[np.float64]], spread: ProcessSpread, margin: float = MARGIN
) -> Comparison:
    medians = np.exp([np.median(logs) for logs in rounds])
    return compare(medians, np.ones(len(medians)), margin=margin)


def log_ratios_of(
    first: Mapping[tuple[int, int], JobTimes], second: Mapping[tuple[int, int], JobTimes]
) -> list[NDArray[np.float64]]:
    """Of every round the logarithms of the first backend's time divided by the second's.

    Each seed of a round counts as a round of its own. A round has a value per sweep, (sweeps,), or
    one by the epochs if the two did not take their turns together.
    """
    rounds = []
    for number in sorted(first.keys() & second.keys()):
        one, other = first[number], second[number]
        if one.session and one.session == other.session:
            rounds.append(np.log(one.turns) - np.log(other.turns))
        elif isfinite(one.epochs) and isfinite(other.epochs):
            rounds.append(np.array([np.log(one.epochs / other.epochs)]))
    return rounds
