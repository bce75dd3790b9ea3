"""Writes the report of a run into its folder: `report.html`, `report.md`, CSV files and charts.

The report uses the folder's records and the verifications and calibrations beside it. To add a
section, write a file with a function `section(run) -> list[Block]`, and name it in `TOPICS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

from bench.records.files import write_atomically
from bench.records.job import Record
from bench.report.beside import keep_what_applies
from bench.report.document.write import write_document
from bench.report.form.blocks import Block, Heading, Text
from bench.report.form.csv import comma_separated
from bench.report.frame.places import short_headings
from bench.report.run import Run
from bench.report.section import (
    charts,
    energy,
    environment,
    equality,
    figures,
    memory,
    native,
    opening,
    ratios,
    results,
    scaling,
    trust,
    tuned,
    utilization,
)
from bench.report.section.glance import noise_line

Section = Callable[[Run], list[Block]]


def each_place(section: Section) -> Section:
    """Repeat a section for every place of a run: a data set on a machine and device.

    With several places, each has a heading with the properties that differ.
    """

    def of_all(run: Run) -> list[Block]:
        blocks: list[Block] = []
        for place, name in zip(run.places, short_headings(run.summary), strict=True):
            of_place = section(place)
            if of_place and name:
                blocks.append(Heading(name, 3))
            blocks += of_place
        return blocks

    return of_all


def _noise(run: Run) -> list[Block]:
    return [Text(line) for line in dict.fromkeys(map(noise_line, run.places))]


# The title of each topic, and its sections; a topic without a block is left out.
TOPICS: tuple[tuple[str, tuple[Section, ...]], ...] = (
    ("Speed", (charts.speed, each_place(ratios.section), _noise)),
    ("Accuracy", (charts.accuracy, each_place(equality.section))),
    ("Time to accuracy", (charts.time_to_accuracy, charts.curves)),
    ("All figures", (figures.section,)),
    ("Memory", (charts.memory, each_place(memory.section))),
    ("Start-up", (charts.start_up, each_place(results.start_up))),
    ("Tuned variants", (each_place(tuned.section),)),
    ("Lower precision compared with float32", (each_place(native.lower_precision),)),
    ("Native mode compared with matched mode", (each_place(native.section),)),
    ("Bottlenecks", (each_place(utilization.section),)),
    ("Energy", (each_place(energy.section),)),
    ("Batch size and width", (scaling.section,)),
    ("Several ranks", (scaling.ranks,)),
    ("Can I trust this?", (trust.section,)),
    ("Environment", (environment.section,)),
)


def write_report(folder: Path, known: Iterable[Record] = ()) -> Run:
    """Write the report of the run in a folder.

    The verifications and calibrations that apply to its records are copied into the folder, too.

    Args:
        folder: the run's folder.
        known: records that need not be read again.

    Raises:
        RunError: the folder has no run or no record, or cannot be written.
    """
    run = Run.read(folder, known)
    keep_what_applies(run)
    write_atomically(folder / "epochs.csv", comma_separated(run.epochs))
    write_atomically(folder / "summary.csv", comma_separated(run.summary))
    write_document(blocks_of(run), folder)
    return run


def blocks_of(run: Run) -> list[Block]:
    """The report of a run."""
    blocks: list[Block] = opening.section(run)
    for title, sections in TOPICS:
        of_topic = [block for section in sections for block in section(run.shown)]
        blocks += [Heading(title, 2), *of_topic] if of_topic else []
    return blocks
