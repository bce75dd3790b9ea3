"""A worker's lines and its outcome, and its end when nobody reads the lines any more."""

from __future__ import annotations

import pytest

from bench.runner.process import read_lines
from bench.worker.lines import End, Settings
from bench.worker.tell import Diverged, work_and_tell

LINE = Settings(settings={"threads": 1})


def test_an_exception_becomes_an_end_after_the_lines_that_were_told(tmp_path):
    def work(tell):
        tell(LINE)
        raise Diverged("epoch 2: test loss nan")

    work_and_tell(tmp_path / "lines", "a", work)
    first, end = read_lines(tmp_path / "lines", "a")
    assert first == LINE
    assert isinstance(end, End)
    assert (end.status, end.reason, end.traceback) == ("diverged", "epoch 2: test loss nan", "")


def test_a_worker_whose_parent_has_ended_stops_at_its_next_line(tmp_path, monkeypatch):
    parents = iter([7, 7, 1])  # at the start, at the first line, at the second
    monkeypatch.setattr("os.getppid", lambda: next(parents))

    def work(tell):
        tell(LINE)
        tell(LINE)
        pytest.fail("it went on")

    with pytest.raises(SystemExit):
        work_and_tell(tmp_path / "lines", "a", work)
    assert read_lines(tmp_path / "lines", "a") == [LINE]
