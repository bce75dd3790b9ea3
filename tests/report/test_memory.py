"""Memory in the report: every figure says what it measures."""

from __future__ import annotations

import pytest

from bench.report.frame.epochs import epochs_frame
from bench.report.frame.summary import summarise
from bench.report.section.memory import allocator_peak, device_peak, memory_notes
from tests.support.records import make_record, on_gpu


@pytest.mark.parametrize(
    ("record", "allocator", "driver", "notes"),
    [
        (on_gpu("a", 700_000_000), "300 MB", "700 MB", 3),
        (on_gpu("a", 700_000_000, by="device"), "300 MB", "700 MB, whole GPU", 3),
        (on_gpu("a", 700_000_000, anew=False), "300 MB, from the start", "700 MB", 4),
        (on_gpu("a", None, by=None), "300 MB", "-", 2),
        (make_record("a"), "-", "-", 1),
    ],
)
def test_every_figure_of_a_device_says_what_it_is_of(record, allocator, driver, notes):
    table = summarise(epochs_frame([record]))
    [row] = table.to_dict("records")
    assert (allocator_peak(row), device_peak(row)) == (allocator, driver)
    lines = memory_notes(table).lines
    assert len(lines) == notes
    for word in ("whole GPU", "from the start"):
        assert any(line.startswith(f"`{word}`") for line in lines) == (word in allocator + driver)


def test_of_two_jobs_the_weaker_instrument_names_the_figure():
    table = summarise(
        epochs_frame([on_gpu("a", 700_000_000), on_gpu("b", 1, by="device", anew=False, seed=1)])
    )
    [row] = table.to_dict("records")
    assert (allocator_peak(row), device_peak(row)) == (
        "300 MB, from the start",
        "700 MB, whole GPU",
    )
