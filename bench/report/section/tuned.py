"""Makes the section that compares each tuned variant with its plain form.

It shows ratios of wall and CPU time, and the number of epochs until break-even. Experiments (see
`backends.family.Entry`) also have a table of questions and answers.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from statistics import median_high
from typing import NamedTuple

import pandas as pd

from backends.contract import kind_of
from backends.registry import BACKENDS, UNTUNED
from bench.records.job import in_precision, usual_name
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Items, Table, Text
from bench.report.frame.columns import GROUP
from bench.report.frame.pairs import timed, times_of
from bench.report.frame.places import rows_of
from bench.report.run import Run
from bench.statistics.steady import break_even
from bench.statistics.timing import TABLE_LEVEL, Comparison, compare, correct_for_many
from bench.statistics.turns import compare_turns, log_ratios_of

_COLUMNS = (
    *("workload", "variant", "plain form", "what it changes"),
    *("wall time, ratio", "CPU time, ratio", "break-even after"),
)
_ANSWERS = ("question", "experiment", "compared with", "workload", "device", "wall time, ratio")
_TEXT = (
    "A tuned variant does the same work in the same framework, with faster options than its"
    " defaults; `bench verify` checks it against the same reference. Ratios are medians over"
    " rounds: below 1 the variant is faster. CPU time is less disturbed by other programs; it is"
    " left out on a GPU, where it does not measure the work. `break-even after`: the number of"
    " epochs until the variant's total time, with start-up, compiling and warm-up, is at most that"
    " of the plain form; median over rounds (min to max). The chance of a false result in a column"
    f" is at most {100 * TABLE_LEVEL:g} %."
)


class _Variant(NamedTuple):
    """A variant compared with its plain form on a workload.

    `wall` and `cpu` compare the times of steady epochs; `epochs` has, per round, the number of
    epochs until break-even.
    """

    workload: str
    name: str
    plain: str
    wall: Comparison
    cpu: Comparison
    epochs: list[float]
    device: str


def section(run: Run) -> list[Block]:
    """A table with a row per workload and variant that ran beside its plain form; else nothing."""
    variants = _all_variants(run)
    if not variants:
        return []
    ran = set(run.jobs["backend"][_compared(run)])
    without = tuple(
        f"`{name}` has no tuned variant: {why}" for name, why in UNTUNED.items() if name in ran
    )
    return [
        Table(_COLUMNS, tuple(map(_row, variants))),
        Items(without),
        Folded("How these figures are made", [Text(_TEXT)]),
    ]


def experiments(run: Run) -> list[Block]:
    """A row per experiment, workload and device: the ratio, or why there is none; else nothing."""
    rows = [
        (
            _question(variant.name),
            variant.name,
            variant.plain,
            variant.workload,
            variant.device,
            _ratio(variant.wall),
        )
        for variant in _all_variants(run)
        if _question(variant.name)
    ]
    for job in rows_of(run.jobs[run.jobs["status"] != "ok"]):
        name, question = job["backend"], _question(job["backend"])
        if question:
            plain = in_precision(BACKENDS[usual_name(name)].variant_of or "", job["precision"])
            why = f"{job['status']}: {job['reason']}"
            rows.append((question, name, plain, job["label"], job["device"], why))
    return [Table(_ANSWERS, tuple(dict.fromkeys(rows)))] if rows else []


def _question(name: str) -> str:
    """The question of a backend by its name in tables; "" if it is no experiment."""
    entry = BACKENDS.get(usual_name(name))
    return entry.experiment if entry else ""


def _all_variants(run: Run) -> list[_Variant]:
    """Each variant that ran beside its plain form; the verdicts are corrected for their number."""
    ok = run.jobs[_compared(run)]
    variants = [
        variant for _, group in ok.groupby(GROUP, sort=False) for variant in _variants(run, group)
    ]
    wall, cpu = (
        correct_for_many(comparisons)
        for comparisons in (
            [variant.wall for variant in variants],
            [variant.cpu for variant in variants],
        )
    )
    return [v._replace(wall=w, cpu=c) for v, w, c in zip(variants, wall, cpu, strict=True)]


def _compared(run: Run) -> pd.Series[bool]:
    """Which of the jobs are compared."""
    return (run.jobs["status"] == "ok") & (run.jobs["mode"] == "matched")


def _variants(run: Run, group: pd.DataFrame) -> list[_Variant]:
    """The variants among the jobs of a group."""
    before_steady = group["startup_seconds"] + group["warm_up_seconds"]
    wall, cpu, before = (
        times_of(group.assign(before=before_steady), column)
        for column in ("epoch_seconds", "epoch_cpu_seconds", "before")
    )
    variants, first, jobs = [], group.iloc[0], timed(group)
    spread = run.spread_of(first["key"])
    for name in wall:
        entry = BACKENDS.get(usual_name(name))
        plain = in_precision((entry and entry.variant_of) or "", str(first["precision"]))
        if plain not in wall:
            continue
        extra = before[name] - before[plain]
        epochs = [
            _break_even(*times)
            for times in zip(extra, wall[name], wall[plain], strict=True)
            if all(map(isfinite, times))  # else there is no steady epoch
        ]
        variants.append(
            _Variant(
                str(first["label"]),
                name,
                plain,
                compare_turns(log_ratios_of(jobs[name], jobs[plain]), spread),
                compare(cpu[name], cpu[plain]),
                epochs,
                device=str(first["device"]),
            )
        )
    return variants


def _break_even(extra: float, variant: float, plain: float) -> float:
    """The number of epochs until break-even; infinite if there is none.

    Args:
        extra: the additional seconds of the variant before its steady state.
        variant: the seconds of a steady epoch of the variant.
        plain: the seconds of a steady epoch of the plain form.
    """
    # `extra` includes the extra time of the first epochs.
    return (break_even(extra, variant, variant, plain) if variant < plain else None) or inf


def _row(variant: _Variant) -> tuple[str, ...]:
    entry = BACKENDS[usual_name(variant.name)]
    return (
        variant.workload,
        variant.name,
        variant.plain,
        entry.changes,
        _ratio(variant.wall),
        _ratio(variant.cpu) if kind_of(variant.device) == "cpu" else words.ABSENT,
        _epochs(variant.epochs, decided=variant.wall.outcome != "undecided"),
    )


def _ratio(result: Comparison) -> str:
    if result.sure_low is None:
        return f"{words.ratio(result.ratio, provisional=True)} {result.outcome}"
    interval = f"({result.sure_low:.2f} to {result.sure_high:.2f})"
    return f"{words.ratio(result.ratio)} {interval} {result.outcome}"


def _epochs(numbers: Sequence[float], *, decided: bool) -> str:
    """The median over rounds (the upper one for an even number), and the range."""
    if not numbers:
        return words.ABSENT
    low, middle, high = (_number(pick(numbers)) for pick in (min, median_high, max))
    unit = "epoch" if middle == "1" else "epochs"
    text = "never (its epochs are slower)" if middle == "never" else f"{middle} {unit}"
    text = text if low == high else f"{text} ({low} to {high})"
    return text if decided else f"~{text}"


def _number(epochs: float) -> str:
    return f"{epochs:,.0f}" if isfinite(epochs) else "never"
