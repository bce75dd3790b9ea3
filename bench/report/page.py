"""Writes the report of a run into its folder: `report.html`, `report.md`, CSV files and plots.

Everything in it follows from what the folder holds and from the verifications and calibrations
beside it.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pandas as pd

from bench.records import verification
from bench.records.files import write_atomically
from bench.records.job import Record
from bench.records.limits import read_limits
from bench.records.stored import LeftOut
from bench.report.beside import keep_verifications, noise_of_places
from bench.report.form.csv import comma_separated
from bench.report.form.document import Block, Heading, Items, Plot, Text, write_document
from bench.report.frame import notes, places
from bench.report.frame.agreement import disagreeing
from bench.report.frame.epochs import epochs_frame, records_of
from bench.report.frame.summary import summarise
from bench.report.plot.results import CAPTIONS, write_plots
from bench.report.section import glance, results, speed
from bench.report.section.agreement import alarm_blocks
from bench.report.section.energy import energy_blocks
from bench.report.section.equality import equality_blocks
from bench.report.section.fairness import fairness_blocks, verification_line
from bench.report.section.limits import limit_blocks
from bench.report.section.machines import provenance
from bench.report.section.memory import memory_notes
from bench.report.section.native import native_blocks
from bench.report.section.scaling import write_scaling
from bench.report.section.speed import Pair, pairs_of, ratio_blocks, unsure
from bench.report.section.tuned import tuned_blocks

_OVERVIEW = (
    "Test accuracy after the last epoch, mean over seeds (lowest to highest). The published figure"
    " stands only where data set, epochs and batch size are the workload's own."
)


class Report(NamedTuple):
    """What a report was made of.

    `damaged` lists the record files that cannot be read and are left out; `verified` is the line on
    verifications; `noise` has the text on timing noise per place.
    """

    summary: pd.DataFrame
    frame: pd.DataFrame
    damaged: list[LeftOut]
    verified: str
    noise: dict[places.Place, str]


class _Known(NamedTuple):
    """What a page shows besides the summary.

    The line on verifications; the epochs and the compared pairs by the heading of their table; the
    text on
    timing noise per place; and a function that makes the blocks on limits.
    """

    verified: str
    epochs: Mapping[str, pd.DataFrame]
    pairs: Mapping[str, Sequence[Pair]]
    noise: Mapping[places.Place, str]
    limits: Callable[[pd.DataFrame, pd.DataFrame], list[Block]]


@contextmanager
def _without_collector() -> Iterator[None]:
    """Switch the garbage collector off for a while.

    A report makes millions of objects, and few of them are left in a cycle; to look for cycles
    takes 3 % of the time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


@_without_collector()
def write_report(folder: Path, known: Iterable[Record] = ()) -> Report:
    """Write the report of the run in a folder.

    The verifications and calibrations that apply to its records are copied into the folder, too.

    Raises:
        RunError: there is no run or no record in the folder, or it cannot be written.
    """
    records, damaged = records_of(folder, known)
    frame = epochs_frame(records)
    epochs = dict(places.places(frame))
    pairs = {heading: pairs_of(group) for heading, group in epochs.items()}
    summary = speed.mark_unsure(
        summarise(frame), {heading: unsure(found) for heading, found in pairs.items()}
    )
    plots = write_plots(frame, folder / "plots")
    write_atomically(folder / "epochs.csv", comma_separated(frame))
    write_atomically(folder / "summary.csv", comma_separated(summary))
    kinds = verification.one_of_each(records)
    verifications, noise = keep_verifications(kinds, folder), noise_of_places(records, folder)
    wrong = disagreeing(frame)
    verified = verification_line(kinds, verifications, wrong)
    limits = partial(
        limit_blocks, records=records, limits=read_limits(folder)[0], plots=folder / "plots"
    )
    blocks = [
        *_blocks(
            _title(folder.resolve().name, records),
            summary,
            frame,
            plots,
            _Known(verified, epochs, pairs, noise, limits),
        ),
        *write_scaling(frame, folder / "plots"),
        *fairness_blocks(records, verifications, wrong),
        *provenance(kinds, damaged),
    ]
    write_document(blocks, folder)
    return Report(summary, frame, damaged, verified, noise)


def _title(name: str, records: Sequence[Record]) -> str:
    """The run's name, and the data sets that were used instead of the workloads' own."""
    pairs = {(record.data.name, record.job.workload.recipe.dataset) for record in records}
    used, named = ({pair[part] for pair in pairs if pair[0] != pair[1]} for part in (0, 1))
    if not used:
        return name
    return f"{name}, on {', '.join(sorted(used))} instead of {', '.join(sorted(named))}"


def _blocks(
    title: str, summary: pd.DataFrame, frame: pd.DataFrame, plots: Sequence[str], known: _Known
) -> list[Block]:
    """The page from its title to its plots."""
    lines = (known.verified, *notes.notes(summary, frame))
    blocks: list[Block] = [
        Heading(title, 1),
        *alarm_blocks(frame),
        Items(tuple(line.removeprefix("* ") for line in lines if line)),
    ]
    for heading, group in places.places(summary):
        blocks += _group_blocks(heading, group, known)
    blocks.append(Heading("Plots", 2))
    return [*blocks, *(Plot(plot, CAPTIONS[plot]) for plot in plots)]


def _group_blocks(heading: str, group: pd.DataFrame, known: _Known) -> list[Block]:
    """All sections on one of `places.places`, whose rows can be compared with each other."""
    epochs = known.epochs[heading]
    blocks: list[Block] = [
        Heading(heading, 2),
        *_glance_blocks(group),
        Text(known.noise[places.place_of(group)]),
        *ratio_blocks(known.pairs[heading]),
        *tuned_blocks(epochs),
        *native_blocks(group),
        *equality_blocks(epochs),
    ]
    for name, columns in results.SECTIONS:
        blocks += [Heading(name, 3), results.section(group, columns)]
        if name == "Speed":
            blocks += known.limits(group, epochs)
    return [*blocks, memory_notes(group), *energy_blocks(epochs)]


def _glance_blocks(group: pd.DataFrame) -> list[Block]:
    """The overview of accuracy and, where there are several backends, of speed."""
    matched = group[group["mode"] == "matched"]
    # Native backends have a section of their own; they stand here only where nothing is matched.
    shown = group if matched.empty else matched
    blocks: list[Block] = [
        Heading("At a glance", 3),
        Text(_OVERVIEW),
        glance.accuracy_overview(shown),
    ]
    if shown["backend"].nunique() > 1:
        blocks += [
            Text("Median training epoch, and how many times the fastest backend's it is."),
            glance.speed_overview(shown),
        ]
    return blocks
