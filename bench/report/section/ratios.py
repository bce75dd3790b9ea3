"""Makes the section that says which backends are faster.

For every two backends it has the ratio within rounds, its interval, and a verdict.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil

from bench.report.form import words
from bench.report.form.document import Block, Folded, Heading, Table, Text
from bench.report.frame.pairs import Pair
from bench.report.run import Run
from bench.statistics.sequential import EVERY_ROUND
from bench.statistics.timing import MARGIN, TABLE_LEVEL, VERDICT_LEVEL

_OPPOSITE = {"faster": "slower", "slower": "faster", "same": "same", "undecided": "undecided"}
_TEXT = (
    "A figure is the epoch time of the row's backend divided by that of the column's; below 1 the"
    " row is faster. In each round every backend runs in a new process. Times are divided within a"
    " round; the figure is the median of the rounds' ratios, with an interval of"
    f" {100 * (1 - VERDICT_LEVEL):g} %. `same`: the interval lies within {100 * MARGIN:g} % of 1."
    " `faster`, `slower`: it does not, and the difference is more than chance, corrected for the"
    " number of pairs. Rounds may be added at any time, and the results read after each. If all"
    f" backends were the same, at most {100 * TABLE_LEVEL:g} of 100 tables would name a faster one."
)


def section(run: Run) -> list[Block]:
    """A table with a row per workload and backend, a column per backend; nothing without pairs."""
    pairs = run.pairs
    if not pairs:
        return []
    heading, (rounds, least) = Heading("Who is faster?", 3), rounds_for_verdicts(run)
    if least is not None and rounds < least:
        among = f" ({len(pairs)} pairs of backends)" if len(pairs) > 1 else ""
        done = f"{rounds} of {least} rounds done{among}"
        option = f"--rounds {rounds_option(run, least)}"
        return [heading, Text(f"Undecided: {done}. For a verdict: `{option}`.")]
    undecided = sum(pair.comparison.outcome == "undecided" for pair in pairs)
    return [
        heading,
        Text(f"Of {len(pairs)} pairs {undecided} are undecided."),
        _table(pairs),
        Folded("How these figures are made", [Text(_TEXT)]),
    ]


def rounds_for_verdicts(run: Run) -> tuple[int, int | None]:
    """The finished rounds, and the fewest that a verdict needs; None if nothing is compared.

    Each seed of a round counts as a round.
    """
    if not run.pairs:
        return 0, None
    rounds = max(pair.comparison.rounds for pair in run.pairs)
    return rounds, EVERY_ROUND.next_look(0, min(VERDICT_LEVEL, TABLE_LEVEL / len(run.pairs)))


def rounds_option(run: Run, rounds: int) -> int:
    """The value of `--rounds` for so many rounds, as each seed counts as a round."""
    return ceil(rounds / run.jobs["seed"].nunique())


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
    interval = "" if low is None or high is None else f" ({low:.2f} to {high:.2f})"
    # Verdicts are bold; undecided ones are pale.
    return f"{words.ratio(ratio)}{interval} " + (
        f"*{outcome}*" if outcome == "undecided" else f"**{outcome}**"
    )
