"""Frameworks at their best: each tuned variant against its plain form, in wall and in CPU time, and when it pays."""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from statistics import median_high
from typing import NamedTuple

import pandas as pd

from backends.registry import BACKENDS, UNTUNED
from bench.report.form import words
from bench.report.form.document import Block, Heading, Items, Table, Text
from bench.report.frame.epochs import CELL, steady_of_each
from bench.report.frame.warmup import PHASES, seconds_before_steady
from bench.statistics.steady import break_even
from bench.statistics.timing import TABLE_LEVEL, Comparison, compare, correct_for_many

_COLUMNS = (
    *("workload", "variant", "of", "what it changes", "wall time, ratio", "CPU time, ratio"),
    "pays for itself",
)
_READ = [
    *(*CELL, "label", "backend", "key", "round", "seed", "epoch", "warm_up_epochs", "counts"),
    *("train_wall_seconds", "train_cpu_seconds", *PHASES),
]
_TEXT = (
    "A tuned variant is the same framework at the same work, the way its documentation has it"
    " fastest; `bench prove` holds it to the same reference. Ratios are formed within rounds, as"
    " above: below 1 the variant is the faster. Between variants of one framework at the same"
    " number of threads CPU time decides, as it is disturbed less; on a GPU it is not the work's,"
    " and left out. `pays for itself`: the first number of epochs after which the variant, its"
    " start-up, compiling and warm-up included, has taken no longer than the plain form (over the"
    f" rounds: the middle, lowest to highest). At most {100 * TABLE_LEVEL:g} of 100 such tables"
    " would name a difference in a column if there were none."
)


class _Pair(NamedTuple):
    """A variant and its plain form on a workload: ratios of steady epochs, and after how many epochs it has paid."""

    workload: str
    variant: str
    wall: Comparison
    cpu: Comparison
    pays: list[float]
    on_cpu: bool


def tuned_blocks(frame: pd.DataFrame) -> list[Block]:
    """A row per workload and variant that ran beside its plain form; nothing where none did.

    Args:
        frame: see `epochs.epochs_frame`, with labels; the rows of one of `groups.groups`.
    """
    ok = frame.loc[(frame["status"] == "ok") & (frame["mode"] == "matched"), _READ]
    pairs = [pair for _, cell in ok.groupby([*CELL, "label"], sort=False) for pair in _pairs(cell)]
    if not pairs:
        return []
    wall, cpu = (
        correct_for_many(found) for found in ([p.wall for p in pairs], [p.cpu for p in pairs])
    )
    judged = [p._replace(wall=w, cpu=c) for p, w, c in zip(pairs, wall, cpu, strict=True)]
    without = tuple(
        f"`{name}` has none: {why}" for name, why in UNTUNED.items() if name in set(ok["backend"])
    )
    return [
        Heading("At their best", 3),
        Text(_TEXT),
        Table(_COLUMNS, tuple(map(_row, judged))),
        Items(without),
    ]


def _pairs(cell: pd.DataFrame) -> list[_Pair]:
    found, first = [], cell.iloc[0]
    for name in cell["backend"].unique():
        plain = BACKENDS[name].variant_of if name in BACKENDS else None
        ours, theirs = cell[cell["backend"] == name], cell[cell["backend"] == plain]
        if theirs.empty:
            continue
        both = (
            _jobs(ours)
            .add_suffix("_ours")
            .join(_jobs(theirs).add_suffix("_theirs"), how="inner")
            .sort_index()
        )
        times = {column: both[column].to_numpy() for column in both}
        wall, cpu = (
            compare(times[f"{clock}_ours"], times[f"{clock}_theirs"]) for clock in ("wall", "cpu")
        )
        extra = both["before_ours"] - both["before_theirs"]
        pays = [
            _epochs_to_pay(*row)
            for row in zip(extra, both["wall_ours"], both["wall_theirs"], strict=True)
            if isfinite(row[0])  # else no epoch is known to be steady
        ]
        found.append(
            _Pair(str(first["label"]), str(name), wall, cpu, pays, on_cpu=first["device"] == "cpu")
        )
    return found


def _jobs(frame: pd.DataFrame) -> pd.DataFrame:
    """Per round and seed: the median steady epoch in wall and in CPU seconds, and the seconds before the first one."""
    steady = steady_of_each(frame, ["key"]).groupby("key")
    jobs = frame.groupby("key")[["round", "seed"]].first()
    jobs["wall"], jobs["cpu"] = (
        steady["train_wall_seconds"].median(),
        steady["train_cpu_seconds"].median(),
    )
    jobs["before"] = seconds_before_steady(frame)
    return jobs.set_index(["round", "seed"])


def _epochs_to_pay(extra: float, own: float, other: float) -> float:
    """After how many epochs a round's variant has made up for what it took more before them; infinite if never."""
    # What the first epochs take beyond steady ones is in `extra`.
    return (break_even(extra, own, own, other) if own < other else None) or inf


def _row(pair: _Pair) -> tuple[str, ...]:
    variant = BACKENDS[pair.variant]
    cpu = _ratio(pair.cpu) if pair.on_cpu else words.ABSENT
    return (
        pair.workload,
        pair.variant,
        str(variant.variant_of),
        variant.changes,
        _ratio(pair.wall),
        cpu,
        _pays(pair.pays),
    )


def _ratio(found: Comparison) -> str:
    interval = "" if found.sure_low is None else f" ({found.sure_low:.2f} to {found.sure_high:.2f})"
    return f"{words.times(found.ratio)}{interval} {found.outcome}"


def _pays(numbers: Sequence[float]) -> str:
    """What the rounds say: a number that one of them had, the higher of the two in the middle."""
    if not numbers:
        return words.ABSENT
    low, middle, high = (_number(pick(numbers)) for pick in (min, median_high, max))
    text = (
        "never at this size"
        if middle == "never"
        else f"after {middle} epoch{'' if middle == '1' else 's'}"
    )
    return text if low == high else f"{text} ({low} to {high})"


def _number(epochs: float) -> str:
    return f"{epochs:,.0f}" if isfinite(epochs) else "never"
