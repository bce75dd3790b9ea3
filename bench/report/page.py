"""Writes the report of a run into its folder: `report.html`, `report.md`, CSV files and plots.

It is made from the folder's records and from the verifications and calibrations beside it. To add a
section, write a file with a function `section(run) -> list[Block]`, and name it in one of the two
tuples.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from bench.records.files import write_atomically
from bench.records.job import Record
from bench.report.beside import keep_what_applies
from bench.report.form.csv import comma_separated
from bench.report.form.document import Block, Heading, write_document
from bench.report.run import Run
from bench.report.section import (
    energy,
    environment,
    equality,
    glance,
    memory,
    native,
    opening,
    plots,
    ratios,
    results,
    scaling,
    trust,
    tuned,
    utilization,
)

# For each place: a data set on a machine and device with so many threads.
PER_PLACE = (
    glance.section,
    ratios.section,
    tuned.section,
    native.section,
    equality.section,
    results.accuracy,
    results.speed,
    utilization.section,
    results.start_up,
    memory.section,
    energy.section,
)
# Once, after all places.
PER_RUN = (
    plots.section,
    scaling.section,
    trust.section,
    environment.section,
)


def write_report(folder: Path, known: Iterable[Record] = ()) -> Run:
    """Write the report of the run in a folder.

    The verifications and calibrations that apply to its records are copied into the folder, too.

    Args:
        folder: the run's.
        known: records that need not be read again.

    Raises:
        RunError: there is no run or no record in the folder, or it cannot be written.
    """
    run = Run.read(folder, known)
    keep_what_applies(run)
    blocks: list[Block] = opening.section(run)
    for place in run.places:
        blocks.append(Heading(place.heading, 2))
        for section in PER_PLACE:
            blocks += section(place)
    for section in PER_RUN:
        blocks += section(run)
    write_atomically(folder / "epochs.csv", comma_separated(run.epochs))
    write_atomically(folder / "summary.csv", comma_separated(run.summary))
    write_document(blocks, folder)
    return run
