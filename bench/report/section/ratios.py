"""Makes the section that says which backends are faster.

It shows the order of the backends for every workload, and the ratio, its interval and a verdict for
every two backends.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from math import ceil
from typing import NamedTuple

from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Items, Table, Text
from bench.report.frame.pairs import Order, Pair, orders_of
from bench.report.run import Run
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.timing import MARGIN, TABLE_LEVEL, VERDICT_LEVEL
from bench.statistics.turns import rounds_to_find

_OPPOSITE = {"faster": "slower", "slower": "faster", "same": "same", "undecided": "undecided"}
_MOST_NAMED = 3  # pairs without a faster backend
# The report names the first of these differences that more rounds find, with at most _MOST_ROUNDS.
_DIFFERENCES, _MOST_ROUNDS = (0.05, 0.1, 0.2, 0.5), 40
_SIGNS = "Each with the next one: `<`: faster; `=`: undecided, or equal."
_TEXT = (
    "A figure is the epoch time of the row's backend divided by the column's; below 1 the row is"
    " faster. In each round every backend trains in a new process. Then the processes of a"
    " workload take turns: in each sweep, every process trains for at least half a second, and"
    " times are divided within the sweep. The figure is the median over sweeps, then over rounds,"
    f" with a {100 * (1 - VERDICT_LEVEL):g} % interval. It includes the difference between two"
    " processes of one backend. Without turns, the epochs of a round are divided. `same`: the"
    f" interval lies within {100 * MARGIN:g} % of 1. `faster`, `slower`: it does not, and the"
    " difference is significant, corrected for the number of pairs. You may add rounds at any"
    " time, and read the results after each. If all backends were equally fast, at most"
    f" {100 * TABLE_LEVEL:g} of 100 tables would name a faster one."
)


class More(NamedTuple):
    """What more rounds cost.

    Attributes:
        difference: the difference, as a share, that they find in 19 of 20 runs.
        option: the total number of rounds per seed, as the value of `--rounds`.
        minutes: the estimated time of the missing rounds.
    """

    difference: float
    option: int
    minutes: float


def section(run: Run) -> list[Block]:
    """The order of every workload, and a table of all pairs; nothing without pairs."""
    pairs = run.pairs
    if not pairs:
        return []
    orders = orders_of(pairs)
    return [
        Items(tuple(f"{order.workload}: {order_text(order)}" for order in orders)),
        Text(" ".join((_SIGNS, certain(run), *_cost(run)))),
        Folded("All pairs", [_table(pairs), Text(f"{_TEXT} {_spreads(run)}")]),
    ]


def order_text(order: Order) -> str:
    """The backends of a workload, fastest first: "jax < pytorch = tensorflow"."""
    signs = ["=" if tie else "<" for tie in order.ties]
    between = chain.from_iterable(zip(signs, order.names[1:], strict=True))
    return " ".join((order.names[0], *between))


def certain(run: Run) -> str:
    """A sentence on how many pairs have a verdict, and which have none."""
    tied = [pair for order in orders_of(run.pairs) for pair in order.tied]
    decided = len(run.pairs) - len(tied)
    if not tied:
        several = f"In all {decided} pairs one backend is faster."
        return several if decided > 1 else "One backend is faster."
    nearest = sorted(tied, key=lambda pair: abs(1 - pair.comparison.ratio))
    named = "; ".join(words.first_of([_named(pair) for pair in nearest], _MOST_NAMED))
    count = f"In {decided} of {len(run.pairs)} pairs one backend is faster."
    return f"{count} Undecided or equal: {named}."


def more_rounds(run: Run) -> More | None:
    """What more rounds cost; None if every pair has a verdict, or more rounds would not help."""
    if all(pair.comparison.outcome != "undecided" for pair in run.pairs):
        return None
    level = min(VERDICT_LEVEL, TABLE_LEVEL / len(run.pairs))
    spreads = {run.spread_of(record.key) for record in run.records}
    done = max(pair.comparison.rounds for pair in run.pairs)
    if not done:  # no two backends have a round in common
        return None
    for difference in _DIFFERENCES:
        counts = [rounds_to_find(difference, spread, (), level) for spread in spreads]
        needed = max(EVERY_ROUND.last if count is None else count for count in counts)
        if done < needed <= _MOST_ROUNDS:
            seconds = sum(record.wall_seconds for record in run.records)
            keys = {record.key for record in run.records}
            turns_of_jobs = (turns for turns in run.turns if keys & {m.job for m in turns.members})
            seconds += sum(turns.wall_seconds for turns in turns_of_jobs)
            rounds = int(run.jobs["round"].nunique())
            seeds = int(run.jobs.groupby("workload", observed=True)["seed"].nunique().min())
            option = max(ceil(needed / seeds), rounds + 1)
            return More(difference, option, seconds / rounds * (option - rounds) / 60)
    return None


def _cost(run: Run) -> list[str]:
    more = more_rounds(run)
    if more is None:
        return []
    cost = f"`--rounds {more.option}` (about {more.minutes:.0f} min more)"
    return [f"{cost} detects differences of {100 * more.difference:g} %."]


def _named(pair: Pair) -> str:
    result = pair.comparison
    interval = _interval(result.sure_low, result.sure_high)
    return f"{pair.workload} {pair.backend} / {pair.other} {result.ratio:.2f}{interval}"


def _spreads(run: Run) -> str:
    """A sentence on where the differences between processes were measured."""
    sources = dict.fromkeys(run.spread_of(record.key).source for record in run.records)
    return f"The difference between processes was measured with: {'; '.join(sources)}."


def _table(pairs: Sequence[Pair]) -> Table:
    backends = list(dict.fromkeys(name for pair in pairs for name in (pair.backend, pair.other)))
    cells = {}
    for pair in pairs:
        result = pair.comparison
        cells[pair.workload, pair.backend, pair.other] = _cell(
            result.ratio, result.sure_low, result.sure_high, result.outcome
        )
        low, high = (end and 1 / end for end in (result.sure_high, result.sure_low))
        cells[pair.workload, pair.other, pair.backend] = _cell(
            1 / result.ratio, low, high, _OPPOSITE[result.outcome]
        )
    rows = [
        (
            workload,
            backend,
            *(cells.get((workload, backend, other), words.ABSENT) for other in backends),
        )
        for workload in dict.fromkeys(pair.workload for pair in pairs)
        for backend in backends
        if any(key[:2] == (workload, backend) for key in cells)
    ]
    columns = (f"compared with {name}" for name in backends)
    return Table(("workload", "backend", *columns), tuple(rows))


def _cell(ratio: float, low: float | None, high: float | None, outcome: str) -> str:
    # Verdicts are bold; undecided ones are pale.
    return f"{words.ratio(ratio)}{_interval(low, high)} " + (
        f"*{outcome}*" if outcome == "undecided" else f"**{outcome}**"
    )


def _interval(low: float | None, high: float | None) -> str:
    return "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
