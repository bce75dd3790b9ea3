"""The frames have the columns that the table of columns lists, and so has its page."""

from __future__ import annotations

import pandas as pd

from bench.records.files import PROJECT
from bench.records.stored import write
from bench.report.frame.columns import EPOCHS, SUMMARY, columns_page
from bench.report.page import write_report
from tests.support.records import make_record, native, on_gpu, run_of

RECORDS = (
    make_record("a"),
    on_gpu("b", 700_000_000, backend="pytorch"),
    native(make_record("c", backend="pytorch")),
    make_record("d", backend="jax", status="failed"),
)


def test_every_column_of_both_frames_is_in_the_table_and_no_other():
    for records in (RECORDS, RECORDS[:1], RECORDS[-1:]):
        run = run_of(*records)
        assert list(run.epochs.columns) == [column.name for column in EPOCHS]
        assert list(run.summary.columns) == [column.name for column in SUMMARY]


def test_what_is_measured_is_a_number_also_where_nothing_was_measured():
    run = run_of(RECORDS[-1])
    for frame, columns in ((run.epochs, EPOCHS), (run.summary, SUMMARY)):
        measured = [column.name for column in columns if column.is_measured]
        assert set(frame[measured].dtypes.astype(str)) == {"float64"}


def test_the_files_hold_the_frames_with_all_digits(tmp_path):
    write(tmp_path / "jobs", make_record("a", times=(4.0, 0.1 + 0.2, 1.5e-7, 1 / 3)))
    run = write_report(tmp_path)
    for name, frame in (("epochs", run.epochs), ("summary", run.summary)):
        written = pd.read_csv(tmp_path / f"{name}.csv")
        assert list(written.columns) == list(frame.columns)
        numbers = frame.select_dtypes("float").dropna(axis="columns").columns
        pd.testing.assert_frame_equal(written[numbers], frame[numbers], check_exact=True)


def test_the_page_of_the_columns_is_made_from_the_table():
    page = (PROJECT / "docs" / "columns.md").read_text()
    hint = "python -m bench.report.frame.columns > docs/columns.md"
    assert page == columns_page(), f"docs/columns.md is stale; type: {hint}"
