"""Makes the section that tests whether backends are equal in accuracy.

Every backend is compared with the median of the others, seed by seed.
"""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from msgspec import Struct

from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Table, Text
from bench.report.frame.columns import GROUP
from bench.report.run import Run
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
    *("workload", "backend", "seeds", "test accuracy", f"{_ACCURACY_INTERVAL} interval, or error"),
    "minus the median of the others, percentage points",
    *(f"{_DIFFERENCE_INTERVAL} interval, points", "verdict"),
)
_ONE_SEED = (
    "With one seed, equality is not tested, and ± is the standard error of the accuracy for this"
    " number of test images."
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


def section(run: Run) -> list[Block]:
    """A table with a row per workload and backend, and what its verdicts mean.

    Within a group, a backend is compared with the median of the other backends that ended ok with
    the same seed. Rounds of a seed are averaged first. Native mode is left out, as it differs on
    purpose. Nothing is returned if no job ended ok.
    """
    jobs = run.jobs
    ok = jobs[(jobs["status"] == "ok") & (jobs["mode"] == "matched")]
    lines = [
        line
        for _, workload in ok[ok["test_accuracy"].notna()].groupby("workload", sort=False)
        for _, group in workload.groupby(GROUP, sort=False)
        for line in _lines(group)
    ]
    if not lines:
        return []
    verdicts = iter(correct_for_many([line.verdict for line in lines if line.verdict is not None]))
    corrected = [(line, None if line.verdict is None else next(verdicts)) for line in lines]
    verdicts_of = [verdict for _, verdict in corrected if verdict is not None]
    finding: list[Block] = [Text(_finding(verdicts_of))]
    table = Table(_COLUMNS, tuple(_cells(line, verdict) for line, verdict in corrected))
    if not any(verdict.seeds > 1 for verdict in verdicts_of):
        return [*finding, Folded("Accuracies and their errors", [table, Text(_meaning(lines))])]
    return [*finding, table, Folded("What the verdicts mean", [Text(_meaning(lines))])]


def _lines(group: pd.DataFrame) -> list[_Line]:
    images, workload = int(group["test_examples"].iloc[0]), str(group["label"].iloc[0])
    # A row per seed, a column per backend; a value is missing if its job did not end ok.
    accuracies = group.pivot_table(
        values="test_accuracy", index="seed", columns="backend", aggfunc="mean"
    )
    lines = []
    for backend in dict.fromkeys(group["backend"]):
        of_backend, other_backends = accuracies[backend], accuracies.drop(columns=backend)
        differences = (of_backend - other_backends.median(axis="columns")).tolist()
        lines.append(
            _Line(
                workload=workload,
                backend=str(backend),
                images=images,
                accuracies=tuple(of_backend.dropna()),
                verdict=None if other_backends.empty else equivalence(differences, images),
            )
        )
    return lines


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
        "no other backend" if verdict is None else _verdict_text(verdict),
    )


def _spread(accuracies: tuple[float, ...], images: int) -> str:
    mean_interval = interval(accuracies, images)
    if mean_interval is None:
        error = words.points(binomial_error(accuracies[0], images)).replace("+", "±")
        return f"{error} points"
    # The interval is symmetric, but accuracies end at 0 and 1.
    low, high = max(mean_interval[0], 0.0), min(mean_interval[1], 1.0)
    return f"{words.percent(low).removesuffix(' %')} to {words.percent(high)}"


def _range(low: float | None, high: float | None) -> str:
    return words.ABSENT if low is None else f"{words.points(low)} to {words.points(high)}"


def _verdict_text(verdict: Verdict) -> str:
    if verdict.seeds > 1:
        return verdict.outcome
    return "not tested: 1 seed" if verdict.seeds else "not tested: no seed in common"


def _finding(verdicts: Sequence[Verdict]) -> str:
    tested = [verdict.outcome for verdict in verdicts if verdict.seeds > 1]
    if not tested:
        return "Equality is not tested: that needs several seeds, e.g. `--seeds 0,1,2,3,4`."
    counts = ", ".join(
        f"{tested.count(name)} {name}" for name in ("equal", "different", "undecided")
    )
    not_tested = len(verdicts) - len(tested)
    return (
        f"Of {len(verdicts)} accuracies, each compared with the median of the others:"
        f" {counts}{f', {not_tested} not tested' if not_tested else ''}."
    )


def _meaning(lines: Sequence[_Line]) -> str:
    """A paragraph that says what the verdicts mean."""
    tests = sum(line.verdict is not None and line.verdict.seeds > 1 for line in lines)
    one_seed = any(len(line.accuracies) == 1 for line in lines)
    if not tests:
        return _ONE_SEED
    chance = f"at most {100 * LEVEL:g} of 100"
    return (
        "Each backend's accuracy after the last epoch is compared with the median of the others"
        " with the same seed: the same initial weights and batches. `equal`: the"
        f" {_DIFFERENCE_INTERVAL} interval of the difference lies within {100 * MARGIN:g} points"
        f" (two one-sided t-tests); of larger true differences, {chance} are called equal."
        f" `different`: the difference is significant; if all backends were equal, {chance} tables"
        f" would have this verdict (Holm's correction for {tests} tests). `undecided`: neither."
        " Intervals are Student's t, over seeds, for these test"
        f" images.{' ' + _ONE_SEED if one_seed else ''}"
    )
