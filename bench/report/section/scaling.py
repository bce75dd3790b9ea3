"""Makes the sections on a sweep over batch size and width, and on several ranks.

The first shows throughput, time and memory by size, and the size from which the work of a step
takes longer than its overhead. The second shows the speed-up of several ranks.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan

import pandas as pd

from backends.contract import first_of, kind_of, ranks_of, ranks_per_node
from bench.report.chart.sweep import sweep
from bench.report.form import words
from bench.report.form.blocks import Block, Folded, Heading, Table, Text, without_empty
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from bench.statistics.crossover import FEWEST_SIZES, LARGEST_MISS, Crossover, crossover

_FAMILY = ["family", "family_spec", "epochs"]
_POINT = ["width", "batch_size"]
_GIGA = 1e9
_ENDING = ("largest deviation", "work equals overhead at", "work outweighs overhead")
_COLUMNS = {
    "examples": ("fixed per step", "per example", *_ENDING),
    "flops": (
        "fixed per step",
        "per GFLOP",
        "largest deviation",
        "work equals overhead at, GFLOP",
        _ENDING[-1],
    ),
}
_MEASURES: tuple[tuple[str, str, Callable[[float], str]], ...] = (
    ("Training images per second.", "images_per_second", words.per_second),
    ("Time per step, of a median epoch.", "step_seconds", words.seconds),
    (
        "Time per step and GFLOP (10^9 operations of its matrix products).",
        "gigaflop_seconds",
        words.seconds,
    ),
    (
        "Peak memory: on a CPU the process's while training, else the allocator's.",
        "memory",
        words.gigabytes,
    ),
)
_MEANING = (
    "A line t = a + c b is fitted to the time of a step; b is the number of its examples. a is the"
    " overhead of a step: calls into the framework, starting kernels, updating weights. c is the"
    " time of an example. At b = a / c the work of a step takes as long as its overhead. Below"
    " that, a larger batch takes little more time; above, time grows with the work. The fit"
    f" minimizes relative deviations, in each round by itself, and needs {FEWEST_SIZES} sizes."
    " There is no result outside the sizes that were run, or if a point deviates from the line by"
    f" more than {100 * LARGEST_MISS:g} %."
)
_ACROSS_WIDTHS = (
    "Across widths. Here b is the number of operations of a step's matrix products. Updating wider"
    " weights is part of the work, so the overhead is mainly calls."
)
_TOO_FEW = (
    f"Run at least {FEWEST_SIZES} sizes to see where the work of a step outweighs its overhead:"
    " `--batch-size 32,128,512,2048`."
)
_RANKS = (
    "Ranks share each batch. `2x4xcuda:0`: two nodes with four ranks each. `compared with`: a"
    " device with one rank, or with the ranks of one node. `same batch`: images per second,"
    " divided by that device's with the same batch (strong scaling). `same batch per rank`: the"
    " same, but that device's batch is smaller in proportion to its ranks (weak scaling;"
    " `--batch-size 128,256` runs both). `efficiency`: the factor divided by the ratio of ranks."
    " Factors are ratios of medians, without a test. On a CPU the ranks of a node share its"
    " threads, so no factor above 1 is expected within a node."
)
_RANKS_COLUMNS = (
    *("workload", "backend", "device", "compared with", "batch size", "epoch"),
    *("same batch", "efficiency", "same batch per rank", "efficiency"),
)
_ONE_ROUND = "Provisional: one round. `--rounds 5` shows how much the figures vary."


def ranks(run: Run) -> list[Block]:
    """A row per result with several ranks whose training also ran on one rank or on one node."""
    ok = [row for row in rows_of(run.summary) if row["status"] == "ok"]
    row_of_training = {_training(row, row["device"], row["batch_size"]): row for row in ok}
    rows = []
    pairs = [(row, device) for row in ok for device in _parts_of(row["device"])]
    for row, device in pairs:
        count = ranks_of(row["device"]) // ranks_of(device)
        same, per_rank = (
            row_of_training.get(_training(row, device, batch_size))
            for batch_size in (row["batch_size"], row["batch_size"] / count)
        )
        if same or per_rank:
            rows.append(
                (
                    *(row["workload"], row["backend"], row["device"], device),
                    *(str(row["batch_size"]), words.seconds(row["epoch_seconds"])),
                    *_factor(row, same, count),
                    *_factor(row, per_rank, count),
                )
            )
    return [Text(_RANKS), without_empty(Table(_RANKS_COLUMNS, tuple(rows)))] if rows else []


def _parts_of(device: str) -> list[str]:
    """The parts that a device is compared with: its first rank, and its ranks on one node."""
    first, ranks = first_of(device), ranks_per_node(device)
    of_node = f"{ranks}x{first}" if ranks > 1 else first
    return [part for part in dict.fromkeys((first, of_node)) if part != device]


def _training(row: Row, device: str, batch_size: float) -> tuple[object, ...]:
    """The properties that are equal in results of one training with different numbers of ranks."""
    same = ("machine", "dataset", "data_checksum", "workload", "spec", "epochs", "backend")
    return *(row[name] for name in same), row["threads"], device, batch_size


def _factor(row: Row, alone: Row | None, count: int) -> tuple[str, str]:
    """The speed-up over `alone`, and the speed-up divided by the factor in ranks (efficiency)."""
    if alone is None:
        return words.ABSENT, words.ABSENT
    factor = alone["epoch_seconds"] / row["epoch_seconds"]
    return words.ratio(factor), f"{100 * factor / count:.0f} %"


def section(run: Run) -> list[Block]:
    """Findings, a chart and tables per workload that was run in several sizes on one device.

    Nothing is returned without such a workload.
    """
    blocks: list[Block] = []
    number = 0
    for place in run.places:
        ok = place.jobs[place.jobs["status"] == "ok"]
        for (family, *_), jobs in ok.groupby(_FAMILY, sort=False):
            if len(jobs[_POINT].drop_duplicates()) > 1:
                points, number = _points(jobs), number + 1
                blocks += [
                    Heading(f"{family}: {place.heading}", 3),
                    *_findings(points),
                    sweep(f"sweep-{number}-{family}", points),
                    *_tables(points),
                ]
    if not blocks:
        return []
    one_round = len(run.jobs[["round", "seed"]].drop_duplicates()) == 1
    how = Folded("How these figures are made", [Text(_MEANING)])
    return [
        *([Text(_ONE_ROUND)] if one_round else []),
        *blocks,
        how,
    ]


def _points(jobs: pd.DataFrame) -> pd.DataFrame:
    """A row per job: its size, its seconds per step, and its memory."""
    steps = -(-jobs["train_examples"] // jobs["batch_size"])
    step_seconds = jobs["epoch_seconds"] / steps
    examples = jobs["train_examples"] / steps
    flops = examples * jobs["training_flops"]
    process, allocator = jobs["train_peak_rss_bytes"], jobs["allocator_peak_bytes"]
    return jobs[[*_POINT, "backend", "device", "round", "seed", "parameters"]].assign(
        examples=examples,
        flops=flops,
        memory=process.where(jobs["device"].map(kind_of) == "cpu", allocator),
        step_seconds=step_seconds,
        images_per_second=jobs["train_examples"] / jobs["epoch_seconds"],
        gigaflop_seconds=step_seconds / flops * _GIGA,
    )


def _tables(points: pd.DataFrame) -> list[Block]:
    """A table per measure: a row per size, a column per backend, the median of its jobs."""
    backends = list(dict.fromkeys(points["backend"]))
    blocks: list[Block] = []
    for title, column, text in _MEASURES:
        rows = []
        for size, jobs in points.groupby([*_POINT, "parameters"]):
            medians = jobs.groupby("backend")[column].median()
            rows.append(
                (
                    *(f"{part:,}" for part in size),
                    *(text(medians.get(name, nan)) for name in backends),
                )
            )
        blocks += [
            Text(title),
            Table(("width", "batch size", "parameters", *backends), tuple(rows)),
        ]
    return blocks


def _findings(points: pd.DataFrame) -> list[Block]:
    """The size from which the work of a step takes longer than its overhead."""
    blocks: list[Block] = []
    for along, across, size, text in (
        ("batch_size", "width", "examples", "Across batch sizes."),
        ("width", "batch_size", "flops", _ACROSS_WIDTHS),
    ):
        sweeps = points.groupby([across, "backend"], sort=False)
        if any(sweep[along].nunique() >= FEWEST_SIZES for _, sweep in sweeps):
            columns = (across.replace("_", " "), "backend", *_COLUMNS[size])
            rows = tuple(
                (f"{key[0]:,}", str(key[1]), *_finding(sweep, along, size)) for key, sweep in sweeps
            )
            blocks += [Text(text), Table(columns, rows)]
    return blocks or [Text(_TOO_FEW)]


def _finding(sweep: pd.DataFrame, along: str, size: str) -> tuple[str, ...]:
    """One backend's cells along one axis.

    They are overhead, time per size, largest deviation, crossover, and finding.
    """
    # A job in a disturbed round has no time.
    rounds = sweep.dropna(subset=["step_seconds"]).groupby(["round", "seed"], sort=True)
    line = crossover([(jobs[size].tolist(), jobs["step_seconds"].tolist()) for _, jobs in rounds])
    sizes = sweep.groupby(along)[size].first()  # batch size or width -> size of a step
    if line is None:
        return (*[words.ABSENT] * 4, f"unknown: {len(sizes)} sizes, {FEWEST_SIZES} are needed")
    unit = 1.0 if size == "examples" else _GIGA
    numbers = (
        words.seconds(line.fixed),
        words.seconds(line.per_size * unit),
        words.percent(line.largest_miss),
    )
    if not line.is_line:
        return (*numbers, words.ABSENT, "unclear: the times are not on a line")
    if line.size > line.largest:
        return (*numbers, words.ABSENT, "not reached within the sweep")
    if line.size < line.smallest:
        return (*numbers, words.ABSENT, "at every size that was run")
    first = sizes.index[sizes >= line.size].min()
    return (*numbers, _crossover(line, unit), f"from {along.replace('_', ' ')} {first:,} on")


def _crossover(line: Crossover, unit: float) -> str:
    """The size of the crossover, with the range over rounds if there are several."""
    ends = [
        f"{end / unit:,.3g}" if unit > 1 else f"{end:,.0f}"
        for end in (line.size, line.low, line.high)
    ]
    high = ends[2] if line.high <= line.largest else "beyond the sweep"
    return ends[0] if line.rounds == 1 else f"{ends[0]} ({ends[1]} to {high})"
