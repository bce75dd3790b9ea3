"""Makes the section that tests whether backends are equal in accuracy.

Every backend is compared with the mean of the others, seed by seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from msgspec import Struct

from bench.report.form import words
from bench.report.form.document import Block, Heading, Table, Text
from bench.report.frame.epochs import GROUP
from bench.report.frame.places import labelled
from bench.statistics.accuracy import (
    LEVEL,
    MARGIN,
    Verdict,
    binomial_error,
    correct_for_many,
    equivalence,
    interval,
)

_ACCURACY_INTERVAL = f"{1 - LEVEL:.0%}".replace("%", " %")
# Two one-sided tests at LEVEL are the same as this interval.
_DIFFERENCE_INTERVAL = f"{1 - 2 * LEVEL:.0%}".replace("%", " %")
_COLUMNS = (
    *("workload", "backend", "seeds", "test accuracy", f"{_ACCURACY_INTERVAL} interval"),
    *("difference to the others, points", f"{_DIFFERENCE_INTERVAL} interval, points", "verdict"),
)


class _Line(Struct, frozen=True, kw_only=True):
    """A backend on a workload: its accuracies, one per seed, and the verdict on them.

    The verdict is None if no other backend ran.
    """

    workload: str
    backend: str
    images: int
    accuracies: tuple[float, ...]
    verdict: Verdict | None


def equality_blocks(frame: pd.DataFrame, margin: float = MARGIN) -> list[Block]:
    """A table with a row per workload and backend, and what its verdicts mean.

    A backend is compared with the mean of the others that ended ok with the same seed, within a
    cell (`epochs.GROUP`); rounds of a seed are averaged first. If there is a column `mode`, only
    "matched" rows count, as the others differ on purpose. Nothing is returned if no job ended ok.

    Args:
        frame: see `epochs.epochs_frame`; the rows of one of its `groups.groups`.
        margin: the smallest difference in accuracy that matters, as a share.

    Raises:
        ValueError: the margin is not positive.
    """
    ok = _last_epochs(frame)
    if ok.empty:
        return []
    lines = [
        line
        for _, rows in ok.groupby("workload", sort=False)
        for _, cell in rows.groupby(GROUP, sort=False)
        for line in _lines(cell, margin)
    ]
    verdicts = iter(correct_for_many([line.verdict for line in lines if line.verdict is not None]))
    judged = [(line, None if line.verdict is None else next(verdicts)) for line in lines]
    return [
        Heading("Equal in accuracy?", 3),
        Text(_meaning([verdict for _, verdict in judged if verdict is not None], margin)),
        Table(_COLUMNS, tuple(_cells(line, verdict) for line, verdict in judged)),
    ]


def _last_epochs(frame: pd.DataFrame) -> pd.DataFrame:
    """The last epoch of every job that ended ok, with its workload's label."""
    if frame.empty:
        return frame
    last = (frame["status"] == "ok") & (frame["epoch"] == frame["epochs"])
    wanted = last & frame["test_accuracy"].notna()
    if "mode" in frame:
        wanted &= frame["mode"] == "matched"
    return labelled(frame[wanted])


def _lines(cell: pd.DataFrame, margin: float) -> list[_Line]:
    images, workload = int(cell["test_examples"].iloc[0]), str(cell["label"].iloc[0])
    # A row per seed, a column per backend; missing where the job of that seed did not end ok.
    accuracies = cell.pivot_table(
        values="test_accuracy", index="seed", columns="backend", aggfunc="mean"
    )
    found = []
    for backend in dict.fromkeys(cell["backend"]):
        own, others = accuracies[backend], accuracies.drop(columns=backend)
        differences = (own - others.mean(axis="columns")).tolist()
        found.append(
            _Line(
                workload=workload,
                backend=str(backend),
                images=images,
                accuracies=tuple(own.dropna()),
                verdict=None if others.empty else equivalence(differences, images, margin),
            )
        )
    return found


def _cells(line: _Line, verdict: Verdict | None) -> tuple[str, ...]:
    seeds, mean = len(line.accuracies), sum(line.accuracies) / len(line.accuracies)
    paired = verdict is None or verdict.seeds == seeds
    return (
        line.workload,
        line.backend,
        str(seeds) if paired or verdict is None else f"{seeds}, {verdict.seeds} of them paired",
        words.percent(mean),
        _spread(line.accuracies, line.images),
        words.ABSENT if verdict is None else words.points(verdict.difference),
        words.ABSENT if verdict is None else _range(verdict.low, verdict.high),
        "no other backend" if verdict is None else _said(verdict),
    )


def _spread(accuracies: tuple[float, ...], images: int) -> str:
    found = interval(accuracies, images)
    if found is None:
        error = words.points(binomial_error(accuracies[0], images)).replace("+", "±")
        return f"one seed: {error} points by the number of images alone"
    # The interval is symmetric, but accuracies end at 0 and 1.
    low, high = max(found[0], 0.0), min(found[1], 1.0)
    return f"{words.percent(low).removesuffix(' %')} to {words.percent(high)}"


def _range(low: float | None, high: float | None) -> str:
    return words.ABSENT if low is None else f"{words.points(low)} to {words.points(high)}"


def _said(verdict: Verdict) -> str:
    if verdict.seeds > 1:
        return verdict.outcome
    return f"{verdict.outcome}: {'one seed' if verdict.seeds else 'no seed in common'}"


def _meaning(verdicts: Sequence[Verdict], margin: float) -> str:
    """A paragraph that says what the verdicts mean."""
    tests = sum(verdict.seeds > 1 for verdict in verdicts)
    held = (
        "Each backend's accuracy after the last epoch is held against the mean of the others with"
        " the same seed, and so with the same initial weights and batches."
    )
    alone = (
        "One seed decides nothing: a single accuracy is known no better than its number of images"
        " allows, and what stands beside it is one standard error of that, not an interval."
    )
    if not tests:
        return f"{held} {alone} Several seeds decide: `--seeds 0,1,2,3,4`." if verdicts else alone
    outcomes = [verdict.outcome for verdict in verdicts]
    counts = ", ".join(
        f"{outcomes.count(name)} `{name}`" for name in ("equal", "different", "undecided")
    )
    chance = f"at most {100 * LEVEL:g} of 100"
    return (
        f"{held} Of {len(verdicts)} comparisons: {counts}. `equal`: the difference is shown to be"
        f" below {100 * margin:g} points, as its {_DIFFERENCE_INTERVAL} interval lies within them"
        f" to both sides (two one-sided t-tests); were it that large, {chance} would be called"
        f" equal. `different`: not so, and more than chance; were all backends the same, {chance}"
        f" tables would hold such a verdict (Holm's correction for {tests} tests). `undecided`:"
        " neither is shown, which is no sign of equality. Intervals are Student's, over seeds, on"
        " these test images. A backend far off also moves the mean that the others are held"
        f" against.{'' if tests == len(verdicts) else ' ' + alone}"
    )
