"""Jobs of honest backends stay far from the tolerances of their verification."""

from tests.support.deviations import FOLDER, files, rows


def test_every_kept_job_is_within_half_a_tolerance():
    assert [row for row in rows() if float(row["deviation"]) > 0.5] == []


def test_the_kept_table_is_of_the_kept_jobs():
    """Else: `python -m tests.support.deviations`."""
    for name, content in files().items():
        assert (FOLDER / name).read_text() == content, name
