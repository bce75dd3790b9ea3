"""Makes the section that says which backends are faster.

For every two backends it has the ratio within rounds, its interval, and a verdict.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import combinations, product
from typing import NamedTuple

import pandas as pd

from bench.report.form import words
from bench.report.form.document import Block, Heading, Table, Text
from bench.report.frame.epochs import GROUP
from bench.report.frame.places import labelled, places
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.timing import (
    MARGIN,
    TABLE_LEVEL,
    VERDICT_LEVEL,
    Comparison,
    compare,
    correct_for_many,
)

_OPPOSITE = {"faster": "slower", "slower": "faster", "same": "same", "undecided": "undecided"}


class Pair(NamedTuple):
    """Two backends on a workload (its label); `found` compares our time with theirs."""

    workload: str
    ours: str
    theirs: str
    found: Comparison


def pairs_of(frame: pd.DataFrame) -> list[Pair]:
    """Every two matched backends of every cell, compared.

    The verdicts are corrected for the number of pairs, as one table shows them all.

    Args:
        frame: see `epochs.epochs_frame`; the rows of one of `groups.groups`.
    """
    ok = frame[(frame["status"] == "ok") & (frame["mode"] == "matched")]
    pairs = [
        pair
        for _, cell in labelled(ok).groupby([*GROUP, "label"], sort=False)
        for pair in _pairs(cell)
    ]
    judged = correct_for_many([pair.found for pair in pairs])
    return [pair._replace(found=found) for pair, found in zip(pairs, judged, strict=True)]


def unsure(pairs: Sequence[Pair]) -> set[tuple[str, frozenset[str]]]:
    """The pairs whose outcome is undecided: (workload's label, the two backends)."""
    return {
        (p.workload, frozenset((p.ours, p.theirs))) for p in pairs if p.found.outcome == "undecided"
    }


def ratio_blocks(pairs: Sequence[Pair]) -> list[Block]:
    """A table with a row per workload and backend, a column per backend; nothing without pairs."""
    if not pairs:
        return []
    heading, rounds = Heading("Who is faster?", 3), max(pair.found.rounds for pair in pairs)
    least = EVERY_ROUND.next_look(0, min(VERDICT_LEVEL, TABLE_LEVEL / len(pairs)))
    if least is not None and rounds < least:
        of = f"a verdict among {len(pairs)} pairs of backends" if len(pairs) > 1 else "a verdict"
        return [
            heading,
            Text(
                f"Undecided, after {rounds} of the {least} rounds that {of} takes: `--rounds"
                f" {least}`."
            ),
        ]
    return [heading, Text(_meaning(pairs)), _table(pairs)]


def _pairs(cell: pd.DataFrame) -> list[Pair]:
    """Every two backends of a cell, compared over rounds.

    A ratio is of two processes, one of each backend, of the same round and seed.
    """
    job = ["round", "seed", "backend"]
    epochs = cell[cell["steady"]].groupby(job, observed=True)["train_wall_seconds"]
    # The same as `timing.process_seconds`, for all jobs at once.
    seconds = epochs.median().where(epochs.min() > 0)
    # `pivot` (PD010) would need columns; these are an index.
    turns = seconds.unstack("backend").reindex(columns=list(cell["backend"].unique()))  # noqa: PD010
    times = {str(name): turn.to_numpy() for name, turn in turns.items()}
    workload = str(cell["label"].iloc[0])
    return [Pair(workload, a, b, compare(times[a], times[b])) for a, b in combinations(times, 2)]


def _table(pairs: Sequence[Pair]) -> Table:
    backends = list(dict.fromkeys(name for pair in pairs for name in (pair.ours, pair.theirs)))
    cells = {}
    for pair in pairs:
        found = pair.found
        cells[pair.workload, pair.ours, pair.theirs] = _cell(
            found.ratio, found.sure_low, found.sure_high, found.outcome
        )
        low, high = (end and 1 / end for end in (found.sure_high, found.sure_low))
        cells[pair.workload, pair.theirs, pair.ours] = _cell(
            1 / found.ratio, low, high, _OPPOSITE[found.outcome]
        )
    rows = [
        (
            workload,
            ours,
            *(cells.get((workload, ours, theirs), words.ABSENT) for theirs in backends),
        )
        for workload in dict.fromkeys(pair.workload for pair in pairs)
        for ours in backends
        if any(key[:2] == (workload, ours) for key in cells)
    ]
    return Table(("workload", "backend", *(f"against {name}" for name in backends)), tuple(rows))


def _cell(ratio: float, low: float | None, high: float | None, outcome: str) -> str:
    interval = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    # Bold and pale show at first sight what is certain.
    return f"{words.times(ratio)}{interval} " + (
        f"*{outcome}*" if outcome == "undecided" else f"**{outcome}**"
    )


def _meaning(pairs: Sequence[Pair]) -> str:
    outcomes = [pair.found.outcome for pair in pairs]
    undecided = outcomes.count("undecided")
    return (
        "The row's epoch by the column's: below 1 the row is the faster. A round holds a fresh"
        " process of each; times are divided within a round, and what stands here is the median of"
        f" the rounds' ratios, with an interval of {100 * (1 - VERDICT_LEVEL):g} %. `same`: it lies"
        f" within {100 * MARGIN:g} % of 1. `faster`, `slower`: it does not, and lies on one side of"
        " 1, by more than chance among so many pairs. Rounds may be added at any time, and the run"
        f" looked at after each: were all backends the same, at most {100 * TABLE_LEVEL:g} of 100"
        f" such tables would name a faster one. Of {len(pairs)} pairs {undecided} are undecided."
    )


Unsure = set[tuple[str, frozenset[str]]]


def mark_unsure(summary: pd.DataFrame, unsure: Mapping[str, Unsure]) -> pd.DataFrame:
    """The summary with a column `unsure`: whether a row may be as fast as the fastest of its cell.

    It is True if the pair of the two is undecided.

    Args:
        summary: see `summary.summarise`.
        unsure: by the table's heading, see `speed.unsure`.
    """
    marked = set()
    for heading, group in places(summary):
        for name, cell in group.groupby("label", sort=False):
            fastest = cell.loc[cell["times_fastest"] == 1, "backend"]
            pairs = product(cell["backend"].items(), fastest)
            marked |= {
                index
                for (index, one), other in pairs
                if (name, frozenset((one, other))) in unsure[heading]
            }
    return summary.assign(unsure=summary.index.isin(list(marked)))
