"""A job's record: its worker's lines, damage, other formats, and a run that is being written."""

from __future__ import annotations

import json

import pytest
from msgspec.structs import replace

from bench.records.files import RunError
from bench.records.job import Record, backend_name, usual_name
from bench.records.run import claim, read_run
from bench.records.stored import LeftOut, read_file, write
from bench.worker.lines import End, encode_line
from tests.support.jobs import make_job
from tests.support.lines import read_lines
from tests.support.records import make_record, native
from tests.support.tasks import run_one

END = End(status="ok", reason="", traceback="", cpu_seconds=1.0)


def test_a_line_cut_off_in_the_middle_is_left_out(tmp_path):
    path, whole = tmp_path / "lines.jsonl", encode_line("a", END)
    path.write_bytes(whole + whole[:40])
    assert read_lines(path, "a") == [END]


def test_lines_of_another_start_and_what_is_no_line_are_left_out(tmp_path):
    path = tmp_path / "lines.jsonl"
    older = b'{"type":"end","status":"ok","reason":"","traceback":"","cpu_seconds":1.0}\n'
    no_line = b'{"mark":"a","line":{"type":"end"}}\n'
    path.write_bytes(
        encode_line("b", END)
        + older
        + b'\n\xff\xfe\n[1]\n{"mark":"\xff"}\n'
        + no_line
        + encode_line("a", END)
    )
    assert read_lines(path, "a") == [END]


@pytest.mark.parametrize(
    "numbers", [(1, 2, 2, 3, 3), (1, 3), (2, 3), (1, 2), (), (1, 2, 3, 4), (0, 1, 2), (3, 2, 1)]
)
def test_a_record_whose_epochs_are_not_one_to_n_each_once_has_failed(numbers, mnist_5k, tmp_path):
    record = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    epochs = tuple(replace(record.epochs[0], number=number) for number in numbers)
    write(tmp_path, replace(record, epochs=epochs))
    found = read_file(tmp_path / f"{record.key}.json", Record)
    assert found.status == "failed"
    assert f"{len(numbers)} epochs were told" in found.reason
    assert "expected 1 to 3, each once" in found.reason
    # Only those that follow each other are left, also if the job had failed.
    left = [1, 2, 3, 4][: next((n for n, k in enumerate(numbers) if k != n + 1), len(numbers))]
    assert [epoch.number for epoch in found.epochs] == left
    failed = replace(record, epochs=epochs, status="failed").checked()
    assert [epoch.number for epoch in failed.epochs] == left


def test_a_damaged_record_is_left_out_and_made_again(mnist_5k, tmp_path):
    record = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    path = tmp_path / "jobs" / f"{record.key}.json"
    path.write_bytes(path.read_bytes()[:300])
    assert read_run(tmp_path) == ([], [LeftOut(path, "damaged")])
    again = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    assert read_run(tmp_path) == ([again], [])


@pytest.mark.parametrize(
    ("number", "age"), [(99, "a newer"), (Record.FORMAT - 1, "an older"), (0, "an older")]
)
def test_a_record_of_another_format_is_left_out_and_named(number, age, tmp_path):
    record = make_record()
    write(tmp_path / "jobs", record)
    path = tmp_path / "jobs" / f"{record.key}.json"
    other = {**json.loads(path.read_text()), "format": number, "something": "new"}
    path.write_text(json.dumps(other))
    why = f"of {age} version (format {number}, expected {Record.FORMAT})"
    assert read_run(tmp_path) == ([], [LeftOut(path, why)])
    assert json.loads(path.read_text()) == other


def test_what_is_no_file_or_bears_another_name_is_left_out_and_named(tmp_path):
    record = make_record()
    write(tmp_path / "jobs", record)
    path = tmp_path / "jobs" / f"{record.key}.json"
    path.with_name("copy.json").write_bytes(path.read_bytes())
    path.with_name("folder.json").mkdir()
    path.with_name("nested.json").write_text("[" * 100_000)
    records, left_out = read_run(tmp_path)
    assert records == [record]
    reasons = {file.path.name: file.reason for file in left_out}
    assert reasons.keys() == {"copy.json", "folder.json", "nested.json"}
    assert reasons["copy.json"] == "named otherwise than its key"
    assert reasons["folder.json"].startswith("cannot be read")
    assert reasons["nested.json"] == "damaged"


def test_a_known_record_is_not_read_again(tmp_path):
    first, second = make_record("a"), make_record("b", seed=1)
    for record in (first, second):
        write(tmp_path / "jobs", record)
    (tmp_path / "jobs" / "a.json").write_text("no record any more")
    assert read_run(tmp_path, [first]) == ([first, second], [])


def test_a_record_that_cannot_be_written_is_an_error_with_the_folder(mnist_5k, tmp_path):
    record = run_one("backends.reference.oracle:Reference", mnist_5k, tmp_path)
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(RunError, match=r"cannot be written"):
        write(tmp_path / "file", record)


def test_a_run_that_another_process_is_writing_is_refused_and_free_again_after_it(tmp_path):
    with claim(tmp_path / "r", "here"):
        with (
            pytest.raises(RunError, match="another `bench` on this machine"),
            claim(tmp_path / "r", "here"),
        ):
            pass
        with claim(tmp_path / "r", "another machine"):
            pass
    with claim(tmp_path / "r", "here"):
        pass


def test_a_native_record_survives_the_disk(tmp_path):
    record = native(make_record())
    write(tmp_path / "jobs", record)
    assert read_run(tmp_path) == ([record], [])


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({}, "pytorch"),
        ({"precision": "bfloat16"}, "pytorch (bfloat16)"),
        ({"precision": "tf32", "mode": "native"}, "pytorch, native (tf32)"),
        ({"backend": "chainer"}, "chainer (2022)"),
    ],
)
def test_a_name_says_any_precision_but_float32(changes, name):
    job = make_job(**{"backend": "pytorch", **changes})
    assert backend_name(job) == name
    usual = replace(job, precision="float32")
    assert usual_name(name) == backend_name(usual)
