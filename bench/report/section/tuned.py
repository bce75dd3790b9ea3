"""Makes the section that compares each tuned variant with its plain form.

It has ratios of wall and CPU time, and the number of epochs after which the variant's start-up has
paid off.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf, isfinite
from statistics import median_high
from typing import NamedTuple

import pandas as pd

from backends.registry import BACKENDS, UNTUNED
from bench.report.form import words
from bench.report.form.document import Block, Heading, Items, Table, Text
from bench.report.frame.epochs import GROUP
from bench.report.frame.warmup import PHASES, seconds_before_steady
from bench.statistics.steady import break_even
from bench.statistics.timing import TABLE_LEVEL, Comparison, compare, correct_for_many

_COLUMNS = (
    *("workload", "variant", "of", "what it changes", "wall time, ratio", "CPU time, ratio"),
    "pays for itself",
)
_READ = [
    *(*GROUP, "label", "backend", "key", "round", "seed", "epoch", "warm_up_epochs", "steady"),
    *("train_wall_seconds", "train_cpu_seconds", *PHASES),
]
_TEXT = (
    "A tuned variant is the same framework at the same work, the way its documentation has it"
    " fastest; `bench verify` holds it to the same reference. Ratios are formed within rounds, as"
    " above: below 1 the variant is the faster. Between variants of one framework at the same"
    " number of threads CPU time decides, as it is disturbed less; on a GPU it is not the work's,"
    " and left out. `pays for itself`: the first number of epochs after which the variant, its"
    " start-up, compiling and warm-up included, has taken no longer than the plain form (over the"
    f" rounds: the middle, lowest to highest). At most {100 * TABLE_LEVEL:g} of 100 such tables"
    " would name a difference in a column if there were none."
)


class _Pair(NamedTuple):
    """A variant and its plain form on a workload.

    Ratios of steady epochs in wall and CPU time; and per round the number of epochs after which the
    variant has paid off.
    """

    workload: str
    variant: str
    wall: Comparison
    cpu: Comparison
    pays: list[float]
    on_cpu: bool


def tuned_blocks(frame: pd.DataFrame) -> list[Block]:
    """A table with a row per workload and variant that ran beside its plain form; else nothing.

    Args:
        frame: see `epochs.epochs_frame`, with labels; the rows of one of `groups.groups`.
    """
    ok = frame.loc[(frame["status"] == "ok") & (frame["mode"] == "matched"), _READ]
    pairs = [pair for _, cell in ok.groupby([*GROUP, "label"], sort=False) for pair in _pairs(cell)]
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
            if isfinite(row[0])  # otherwise no epoch is known to be steady
        ]
        found.append(
            _Pair(str(first["label"]), str(name), wall, cpu, pays, on_cpu=first["device"] == "cpu")
        )
    return found


def _jobs(frame: pd.DataFrame) -> pd.DataFrame:
    """A row per round and seed: the median steady epoch, and what comes before the first one.

    Columns `wall` and `cpu`: of the epoch, in seconds of wall and CPU time; `before`: in seconds.
    """
    steady = frame[frame["steady"]].groupby("key")
    jobs = frame.groupby("key")[["round", "seed"]].first()
    jobs["wall"] = steady["train_wall_seconds"].median()
    jobs["cpu"] = steady["train_cpu_seconds"].median()
    jobs["before"] = seconds_before_steady(frame)
    return jobs.set_index(["round", "seed"])


def _epochs_to_pay(extra: float, own: float, other: float) -> float:
    """The number of epochs after which a variant has paid off; infinite if it never does.

    Args:
        extra: the seconds that it took longer than the plain form before its steady state.
        own: the seconds of its steady epoch.
        other: the seconds of the plain form's.
    """
    # `extra` includes what the first epochs take longer than steady ones.
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
    """The median over rounds (of an even number the upper middle one), and the range."""
    if not numbers:
        return words.ABSENT
    low, middle, high = (_number(pick(numbers)) for pick in (min, median_high, max))
    epochs = "epoch" if middle == "1" else "epochs"
    text = "never at this size" if middle == "never" else f"after {middle} {epochs}"
    return text if low == high else f"{text} ({low} to {high})"


def _number(epochs: float) -> str:
    return f"{epochs:,.0f}" if isfinite(epochs) else "never"
