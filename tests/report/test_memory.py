"""Memory in the report: every figure says what it measures."""

from __future__ import annotations

import pytest

from bench.report.form.blocks import Items, Table
from bench.report.section import memory
from tests.support.records import blocks_of, make_record, on_gpu, run_of


def table_and_notes(*records):
    """The row of the table, its last two cells as (allocator, driver), and the notes."""
    blocks = memory.section(run_of(*records))
    [table], [notes] = (blocks_of(kind, blocks) for kind in (Table, Items))
    [row] = table.rows
    cells = dict(zip(table.columns, row, strict=True))
    device = (cells.get(f"device, {source}", "-") for source in ("allocator", "driver"))
    return tuple(device), notes.lines


@pytest.mark.parametrize(
    ("record", "allocator", "driver", "notes"),
    [
        (on_gpu("a", 700_000_000), "300 MB", "700 MB", 3),
        (on_gpu("a", 700_000_000, by="device"), "300 MB", "700 MB, whole GPU", 3),
        (on_gpu("a", 700_000_000, anew=False), "300 MB, from the start", "700 MB", 4),
        (on_gpu("a", None, by=None), "300 MB", "-", 2),
        (on_gpu("a", None, first=400_000_000), "300 MB (first epoch 400 MB)", "-", 3),
        (on_gpu("a", None, first=300_000_000), "300 MB", "-", 3),
        (make_record("a"), "-", "-", 1),
    ],
)
def test_every_figure_of_a_device_says_what_it_is_of(record, allocator, driver, notes):
    peaks, lines = table_and_notes(record)
    assert peaks == (allocator, driver)
    assert len(lines) == notes
    for word in ("whole GPU", "from the start"):
        assert any(line.startswith(f"`{word}`") for line in lines) == (word in allocator + driver)


def test_of_two_jobs_the_weaker_instrument_names_the_figure():
    peaks, _ = table_and_notes(
        on_gpu("a", 700_000_000), on_gpu("b", 1, by="device", anew=False, seed=1)
    )
    assert peaks == ("300 MB, from the start", "700 MB, whole GPU")
