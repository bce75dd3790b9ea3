"""Makes the section on a sweep over batch size and width.

It shows throughput, time and memory against size, and the size from which on the work of a step
outweighs its overhead.
"""

from __future__ import annotations

from collections.abc import Callable
from math import nan
from pathlib import Path

import pandas as pd

from bench.report.form import words
from bench.report.form.document import Block, Heading, Plot, Table, Text
from bench.report.frame.places import places
from bench.report.plot.scaling import write_scaling_plot
from bench.statistics.crossover import FEWEST_SIZES, LARGEST_MISS, Crossover, crossover

_FAMILY = ["family", "family_spec", "epochs"]
_POINT = ["width", "batch_size"]
_GIGA = 1e9
_ENDING = ("line misses by", "twice the fixed cost at", "work outweighs overhead")
_COLUMNS = {
    "examples": ("fixed per step", "per example", *_ENDING),
    "flops": (
        "fixed per step",
        "per GFLOP",
        "line misses by",
        "twice the fixed cost at, GFLOP",
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
    "To the time of a step a line is fitted, t = a + c b: a is paid by every step, whatever its"
    " batch (the calls into the framework, starting kernels, updating all weights), c by every"
    " example (b: the epoch's examples by its steps; what an epoch costs once is in c). At b = a /"
    " c the step takes twice its fixed cost: below, it is bound by overhead, and a larger batch is"
    " nearly free; above, by the work itself. The fit is of least relative deviations, of each"
    f" round by itself, and takes {FEWEST_SIZES} sizes. Nothing is said beyond the sizes that were"
    f" run, nor where the line misses a point by more than {100 * LARGEST_MISS:g} %."
)
_ACROSS_WIDTHS = (
    "Across widths, b being the operations of a step's matrix products instead of its examples."
    " Updating wider weights is work here, so that a is nearer to what the calls alone cost."
)
_TOO_FEW = (
    f"Where a step outgrows overhead takes {FEWEST_SIZES} sizes: `--batch-size 32,128,512,2048`."
)
_ONE_ROUND = " One round was run: an observation; `--rounds 5` shows how far it moves."


def write_scaling(frame: pd.DataFrame, folder: Path) -> list[Block]:
    """Tables, a plot and the finding per workload that was run in several sizes on one device.

    Nothing is returned or written if no workload was.

    Args:
        frame: see `epochs.epochs_frame`.
        folder: the folder that the plots are written to.

    Raises:
        RunError: the folder cannot be written.
    """
    sizes = frame[[*_FAMILY, *_POINT]].drop_duplicates()
    if not sizes.duplicated(_FAMILY).any():  # most runs have one size
        return []
    ok = frame[(frame["status"] == "ok") & frame["epoch"].notna()]
    blocks: list[Block] = []
    number = 0
    for heading, group in places(ok) if len(ok) else ():
        for (family, *_), jobs in group.groupby(_FAMILY, sort=False):
            if len(jobs.drop_duplicates(_POINT)) > 1:
                points, number = _points(jobs), number + 1
                name = write_scaling_plot(points, folder / f"scaling-{number}-{family}")
                blocks += [
                    Heading(f"{family}: {heading}", 3),
                    *_findings(points),
                    Plot(name, _caption(points)),
                ]
                blocks += _tables(points)
    one = _ONE_ROUND if len(ok.drop_duplicates(["round", "seed"])) == 1 else ""
    return [Heading("Against size", 2), Text(_MEANING + one), *blocks] if blocks else []


def _points(epochs: pd.DataFrame) -> pd.DataFrame:
    """A row per job: its size, and its seconds per step, from the median of its steady epochs."""
    jobs = epochs.drop_duplicates("key").set_index("key")
    steps = -(-jobs["train_examples"] // jobs["batch_size"])
    medians = epochs[epochs["steady"]].groupby("key")["train_wall_seconds"].median()
    seconds = medians.reindex(jobs.index)
    examples = jobs["train_examples"] / steps
    flops = examples * jobs["training_flops"]
    return jobs[[*_POINT, "backend", "device", "round", "seed", "parameters"]].assign(
        examples=examples,
        flops=flops,
        memory=jobs["train_peak_rss_bytes"].where(
            jobs["device"] == "cpu", jobs["allocator_peak_bytes"]
        ),
        step_seconds=seconds / steps,
        images_per_second=jobs["train_examples"] / seconds,
        gigaflop_seconds=seconds / steps / flops * _GIGA,
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
    """The size from which on each backend is not bound by overhead, by batch size and by width."""
    blocks: list[Block] = []
    for along, across, size, text in (
        ("batch_size", "width", "examples", "Across batch sizes."),
        ("width", "batch_size", "flops", _ACROSS_WIDTHS),
    ):
        cells = points.groupby([across, "backend"], sort=False)
        if any(cell[along].nunique() >= FEWEST_SIZES for _, cell in cells):
            columns = (across.replace("_", " "), "backend", *_COLUMNS[size])
            rows = tuple(
                (f"{key[0]:,}", str(key[1]), *_finding(cell, along, size)) for key, cell in cells
            )
            blocks += [Text(text), Table(columns, rows)]
    return blocks or [Text(_TOO_FEW)]


def _finding(cell: pd.DataFrame, along: str, size: str) -> tuple[str, ...]:
    """One backend's cells along one axis.

    Fixed cost, cost per size, how far the line misses, the crossover, and the words for it.
    """
    turns = cell.groupby(["round", "seed"], sort=True)
    found = crossover([(jobs[size].tolist(), jobs["step_seconds"].tolist()) for _, jobs in turns])
    sizes = cell.groupby(along)[size].first()  # the size as typed -> that of a step
    if found is None:
        return (*[words.ABSENT] * 4, f"unknown: {len(sizes)} sizes, {FEWEST_SIZES} are needed")
    unit = 1.0 if size == "examples" else _GIGA
    numbers = (
        words.seconds(found.fixed),
        words.seconds(found.per_size * unit),
        words.percent(found.largest_miss),
    )
    if not found.is_line:
        return (*numbers, words.ABSENT, "unclear: no line")
    if found.size > found.largest:
        return (*numbers, words.ABSENT, "not reached within the sweep")
    if found.size < found.smallest:
        return (*numbers, words.ABSENT, "at every size that was run")
    first = sizes.index[sizes >= found.size].min()
    return (*numbers, _crossover(found, unit), f"from {along.replace('_', ' ')} {first:,} on")


def _crossover(found: Crossover, unit: float) -> str:
    """The size of the crossover, with the range over rounds if there are several."""
    ends = [
        f"{end / unit:,.3g}" if unit > 1 else f"{end:,.0f}"
        for end in (found.size, found.low, found.high)
    ]
    high = ends[2] if found.high <= found.largest else "beyond the sweep"
    return ends[0] if found.rounds == 1 else f"{ends[0]} ({ends[1]} to {high})"


def _caption(points: pd.DataFrame) -> str:
    """A sentence that says what the plot shows."""
    along = "batch size, a row per width" if points["batch_size"].nunique() > 1 else "width"
    return (
        f"Training images per second and peak memory against {along}. Dots: jobs; lines: their"
        " medians."
    )
