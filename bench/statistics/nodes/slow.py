"""Names the nodes of a fleet that are slower than the others.

All nodes of a fleet are of one kind and train the same jobs. A session is a workload in one round
with one seed. In each session a node has one value: log(its time / the fleet's time), the median
over backends. The ratio of a node comes from the median of its values.

Healthy nodes differ a little, and nobody drains a node for 2 %. So the test asks whether a node is
slower by more than `MARGIN`. It subtracts the margin from the node's values, and ranks them among
the values of all other nodes (the rank-sum test; H. B. Mann and D. R. Whitney, Ann. Math. Stat. 18,
1947, 50-60). It holds for any distribution of times, and a few disturbed sessions hardly matter.
Holm's correction covers all nodes: the probability that any node of a healthy fleet is named is at
most `LEVEL`. In addition, the node's ratio must be an outlier among all nodes' ratios at the same
level. So no node of a fleet is named if all its nodes really differ by a few percent.

A node may be slow on one workload only. So each workload is also tested alone. These tests share a
fifth of the level.

Other rules were tried on simulated fleets (`tests/support/fleets.py`). Tests for outliers among the
nodes' ratios (generalized ESD; B. Rosner, Technometrics 25, 1983) assume normal ratios. If one
process of five is slower by 7 %, this test named a node in every one of 300 healthy fleets with 400
nodes and nine sessions.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Mapping, Sequence
from math import exp, inf, log1p, sqrt
from statistics import median
from typing import Literal, TypeVar

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from bench.statistics.distributions import normal_below, normal_quantile
from bench.statistics.many import holm
from bench.statistics.sequential import ONCE, POWER
from bench.statistics.timing import LEVEL as INTERVAL_LEVEL
from bench.statistics.timing import MARGIN, median_interval

# In at most 1 of 100 healthy fleets, of any size, a node is named.
LEVEL = 0.01
_OF_ALL = 0.8  # the share of the level for the test over all workloads
# With two nodes it is unknown which one is slow. With four, the slowest is compared with three.
FEWEST_NODES = 4
_NORMAL_MAD = 1.4826  # standard deviation of a normal law, by its median absolute deviation
# Healthy nodes are assumed to differ by at least half a percent: a few nodes cannot show it.
_LEAST_BETWEEN = 0.005
_SURE_EXCESS = 3.5
# The scatter of the rounds so far is a sample, and may be too small.
_RESERVE = 1.7
_DIFFERENCES = tuple(float(share) for share in np.arange(0.021, 1.0, 0.001))
_COUNTS = range(3, 3000)

Outcome = Literal["slow", "usual", "unknown"]
Sessions = Mapping[str, NDArray[np.float64]]
T = TypeVar("T")


class Standing(Struct, frozen=True, kw_only=True):
    """A node compared with its fleet.

    Attributes:
        sessions: the number of its sessions.
        ratio: its time divided by the fleet's.
        low, high: the interval of the ratio (95 %); None with too few sessions.
        outcome: "slow": slower than the fleet by more than the margin; "unknown": the fleet has too
            few nodes, or the node has too few sessions to be named even as the slowest in each.
        on: the workloads on which it is slow, if it is not slow over all workloads.
    """

    sessions: int
    ratio: float
    low: float | None
    high: float | None
    outcome: Outcome
    on: tuple[str, ...] = ()


class Visible(Struct, frozen=True, kw_only=True):
    """Which slowdowns the test of a fleet can find.

    Attributes:
        nodes: the number of nodes, without the slow ones.
        sessions: the median number of sessions of a node.
        difference: the smallest slowdown, as a share, that is found in 19 of 20 runs; infinite if
            there is none.
        needed: the number of sessions per node that find the given difference in 19 of 20 runs;
            None if no number is enough: the nodes themselves differ too much, or are too few.
    """

    nodes: int
    sessions: int
    difference: float
    needed: int | None


def compare_nodes(by_workload: Mapping[str, Sessions], level: float = LEVEL) -> dict[str, Standing]:
    """Compare each node with the other nodes.

    Args:
        by_workload: workload -> node -> one log(node's time / fleet's time) per session, at least
            one.
        level: the probability that any node of a healthy fleet is named.
    """
    together, (of_all, of_one) = _together(by_workload), _levels(by_workload, level)
    slow = _slow(together, of_all)
    on: dict[str, list[str]] = {}
    for workload, sessions in by_workload.items() if of_one else ():
        for node in _slow(sessions, of_one) - slow:
            on.setdefault(node, []).append(workload)
    total = sum(map(len, together.values()))
    standings = {}
    for (node, values), log_ratio in zip(together.items(), _figures(together), strict=True):
        interval = median_interval(values, INTERVAL_LEVEL, ONCE)
        # The p-value of a node that is the slowest in all its sessions.
        smallest_chance = _chance(1.0, len(values), max(1, total - len(values))) * len(together)
        can_be_named = smallest_chance <= of_all and len(together) >= FEWEST_NODES
        is_slow = node in slow or node in on
        standings[node] = Standing(
            sessions=len(values),
            ratio=exp(log_ratio),
            low=None if interval is None else exp(interval[0]),
            high=None if interval is None else exp(interval[1]),
            outcome="slow" if is_slow else "usual" if can_be_named else "unknown",
            on=tuple(on.get(node, ())),
        )
    return standings


def visible(
    by_workload: Mapping[str, Sessions], difference: float, level: float = LEVEL
) -> Visible:
    """The smallest slowdown that the test finds, and the number of sessions for `difference`.

    Args:
        by_workload: see `compare_nodes`.
        difference: a slowdown as a share (0.05 for 5 %), more than `MARGIN`.
        level: the level of the test.
    """
    together, (of_all, _) = _together(by_workload), _levels(by_workload, level)
    slow = _slow(together, of_all)
    healthy = {node: values for node, values in together.items() if node not in slow}
    sessions = int(median([len(values) for values in healthy.values()] or [0]))
    if len(healthy) < FEWEST_NODES or sessions < 2:  # noqa: PLR2004 - one session has no scatter
        return Visible(nodes=len(healthy), sessions=sessions, difference=inf, needed=None)
    fleet = _Power(healthy, of_all)
    return Visible(
        nodes=len(healthy),
        sessions=sessions,
        difference=_first(_DIFFERENCES, lambda share: fleet.finds(share, sessions)) or inf,
        needed=_needed(fleet, difference, sessions),
    )


class _Power:
    """The power of the test for a fleet, computed from the scatter of its healthy nodes.

    Attributes:
        between: the variance of log ratios between healthy nodes.

    Args:
        healthy: the sessions of healthy nodes.
        level: the level of the test.
    """

    def __init__(self, healthy: Sessions, level: float) -> None:
        self._nodes = len(healthy)
        self._critical = normal_quantile(1 - level / self._nodes)
        self._pooled = np.sort(np.concatenate([*healthy.values()]))
        sessions = median(map(len, healthy.values()))
        residuals = [values - np.median(values) for values in healthy.values() if len(values) > 1]
        noise = _scale(np.concatenate(residuals)) ** 2 * sessions / (sessions - 1)
        self._noise = np.pi / 2 * noise  # variance of a median of one session
        log_ratios = _figures(healthy)
        variance, noise_variance = (
            _scale(log_ratios - np.median(log_ratios)) ** 2,
            self._noise / sessions,
        )
        # By accident, a dozen nodes may scatter twice as much as the noise of sessions explains.
        between = variance - noise_variance if variance > _SURE_EXCESS * noise_variance else 0.0
        self.between = max(between, _LEAST_BETWEEN**2)

    def finds(self, share: float, sessions: int) -> bool:
        """Whether a node that is slower by this share is named in 19 of 20 runs."""
        step = _LEAST_BETWEEN
        shift = log1p(share) - log1p(MARGIN)
        ranks = self._ranks(shift)
        slope = float((self._ranks(shift + step) - self._ranks(shift - step)).mean()) / (2 * step)
        by_chance = _deviation(sessions, sessions * (self._nodes - 1))
        deviation = sqrt(float(ranks.var()) / sessions + slope**2 * self.between)
        likely = normal_quantile(POWER)
        ranked = float(ranks.mean()) - 0.5 >= self._critical * by_chance + likely * deviation
        scatter = sqrt(self.between + self._noise / sessions)
        return ranked and log1p(share) >= (self._critical + likely) * scatter

    def _ranks(self, shift: float) -> NDArray[np.float64]:
        """For each value plus `shift`, the share of all values that are below it."""
        below = np.searchsorted(self._pooled, self._pooled + shift)
        return below / len(self._pooled)


def _needed(fleet: _Power, difference: float, sessions: int) -> int | None:
    """The number of sessions that find a difference; see `Visible.needed`.

    Few sessions of few nodes may scatter so much by accident that no number seems enough. The
    result is then computed for nodes that hardly differ. More sessions show the real scatter.
    """

    def finds(count: int) -> bool:
        return fleet.finds(difference, int(count / _RESERVE))

    needed = _first(_COUNTS, finds)
    if needed is None:
        fleet.between = _LEAST_BETWEEN**2
        least = _first(_COUNTS, finds)
        return least if least is not None and least > sessions else None
    return needed


def _first(candidates: Sequence[T], holds: Callable[[T], bool]) -> T | None:
    """The first candidate for which something holds, if it also holds for all later ones."""
    index = bisect_left(candidates, True, key=holds)  # noqa: FBT003 - the value to find
    return candidates[index] if index < len(candidates) else None


def _levels(by_workload: Mapping[str, Sessions], level: float) -> tuple[float, float]:
    """The levels of the tests over all workloads and of one workload (0 without this test)."""
    if len(by_workload) == 1:
        return level, 0.0
    return level * _OF_ALL, level * (1 - _OF_ALL) / len(by_workload)


def _together(by_workload: Mapping[str, Sessions]) -> dict[str, NDArray[np.float64]]:
    """The sessions of every node, of all workloads."""
    parts: dict[str, list[NDArray[np.float64]]] = {}
    for sessions in by_workload.values():
        for node, values in sessions.items():
            parts.setdefault(node, []).append(values)
    return {node: np.concatenate(values) for node, values in parts.items()}


def _slow(sessions: Sessions, level: float) -> set[str]:
    """The nodes that the test names as slow."""
    if len(sessions) < FEWEST_NODES:
        return set()
    pooled = np.sort(np.concatenate([*sessions.values()]))
    chances = []
    for values in sessions.values():
        lowered, other_count = values - log1p(MARGIN), len(pooled) - len(values)
        # Counts only the values of other nodes.
        below = np.searchsorted(pooled, lowered) - np.searchsorted(np.sort(values), lowered)
        chances.append(
            _chance(float(below.sum()) / len(values) / other_count, len(values), other_count)
        )
    log_ratios = _figures(sessions)
    quantile = normal_quantile(1 - level / len(sessions))
    smallest_log_ratio = max(log1p(MARGIN), quantile * _scale(log_ratios - np.median(log_ratios)))
    return {
        node
        for node, log_ratio, chance in zip(sessions, log_ratios, holm(chances), strict=True)
        if chance <= level and log_ratio > smallest_log_ratio
    }


def _chance(rank: float, count: int, others: int) -> float:
    """The p-value of the mean rank (0..1) of a node's sessions among the other nodes' sessions.

    It uses the normal distribution, which is exact for many sessions. With few sessions the p-value
    is too large, as the mean of a few ranks is never far from a half.
    """
    return normal_below((0.5 - rank) / _deviation(count, others))


def _deviation(count: int, others: int) -> float:
    """The standard deviation of a mean rank (0..1), if nothing differs."""
    return sqrt((count + others + 1) / (12 * count * others))


def _figures(sessions: Sessions) -> NDArray[np.float64]:
    """The logarithm of each node's ratio: (nodes,)."""
    lengths = np.array([len(values) for values in sessions.values()])
    log_ratios = np.empty(len(lengths))
    for length in np.unique(lengths):  # a call per node takes most of the time
        same_length = [values for values in sessions.values() if len(values) == length]
        log_ratios[lengths == length] = np.median(np.array(same_length), axis=1)
    return log_ratios


def _scale(values: NDArray[np.float64]) -> float:
    """The standard deviation of values about 0, by their median absolute value."""
    return float(np.median(np.abs(values))) * _NORMAL_MAD
