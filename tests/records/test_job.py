"""A job's record: its worker's lines, damage, other formats, and a run that is being written."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from bench.records.files import RunError
from bench.records.job import read_record, write_record
from bench.records.run import claim_run, read_run
from bench.runner.process import read_lines
from bench.worker.lines import End, Line, line_of
from tests.support.records import make_record, native
from tests.support.tasks import run_one

END = End(status="ok", reason="", traceback="", cpu_seconds=1.0, device_memory=None)


def test_a_line_cut_off_in_the_middle_is_left_out(tmp_path):
    path, whole = tmp_path / "lines.jsonl", line_of("a", END)
    path.write_bytes(whole + whole[:40])
    assert read_lines(path, Line, "a") == [END]
    assert read_lines(tmp_path / "nothing.jsonl", Line, "a") == []


def test_lines_of_another_start_and_what_is_no_line_are_left_out(tmp_path):
    path = tmp_path / "lines.jsonl"
    older = (
        b'{"type":"end","status":"ok","reason":"","traceback":"","cpu_seconds":1.0,'
        b'"device_memory":null}\n'
    )
    no_line = b'{"start":"a","line":{"type":"end"}}\n'
    path.write_bytes(
        line_of("b", END)
        + older
        + b'\n\xff\xfe\n[1]\n{"start":"\xff"}\n'
        + no_line
        + line_of("a", END)
    )
    assert read_lines(path, Line, "a") == [END]


@pytest.mark.parametrize(
    "numbers", [(1, 2, 2, 3, 3), (1, 3), (2, 3), (1, 2), (), (1, 2, 3, 4), (0, 1, 2), (3, 2, 1)]
)
def test_a_record_whose_epochs_are_not_one_to_n_each_once_has_failed(numbers, mnist_5k, tmp_path):
    record = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    epochs = tuple(replace(record.epochs[0], number=number) for number in numbers)
    write_record(tmp_path, replace(record, epochs=epochs))
    found = read_record(tmp_path / f"{record.key}.json")
    assert found.status == "failed"
    assert f"{len(numbers)} epochs were told" in found.reason
    assert "expected 1 to 3, each once" in found.reason


def test_a_damaged_record_is_left_out_and_made_again(mnist_5k, tmp_path):
    record = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    path = tmp_path / "jobs" / f"{record.key}.json"
    path.write_bytes(path.read_bytes()[:300])
    assert read_run(tmp_path) == ([], [path])
    again = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    assert read_run(tmp_path) == ([again], [])


def test_a_record_of_a_newer_format_is_refused_and_kept(mnist_5k, tmp_path):
    record = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    path = tmp_path / "jobs" / f"{record.key}.json"
    newer = {**json.loads(path.read_text()), "format": 99, "something": "new"}
    path.write_text(json.dumps(newer))
    with pytest.raises(RunError, match="format 99"):
        run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    assert json.loads(path.read_text()) == newer


def test_a_record_that_cannot_be_written_is_an_error_with_the_folder(mnist_5k, tmp_path):
    record = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"cannot be written"):
        write_record(tmp_path / "file", record)


def test_a_run_that_another_process_is_writing_is_refused_and_free_again_after_it(tmp_path):
    with claim_run(tmp_path / "r", "here"):
        with (
            pytest.raises(RunError, match="another `bench` on this machine"),
            claim_run(tmp_path / "r", "here"),
        ):
            pass
        with claim_run(tmp_path / "r", "another machine"):
            pass
    with claim_run(tmp_path / "r", "here"):
        pass


def test_a_native_record_survives_the_disk(tmp_path):
    record = native(make_record())
    write_record(tmp_path / "jobs", record)
    assert read_run(tmp_path) == ([record], [])
