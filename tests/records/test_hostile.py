"""What is no file of a record, or holds what no machine measures: left out, named, and no more."""

from __future__ import annotations

import json
import os

import pytest
from msgspec.structs import replace

from bench.data.dataset import DataSet
from bench.records.command import read_command
from bench.records.files import RunError, write_atomically
from bench.records.job import Record
from bench.records.learned import path_of, read_learned
from bench.records.run import claim, read_run
from bench.records.stored import LeftOut, read, read_file, write
from bench.records.weights import read_weights
from bench.runner import jobs
from bench.runner.task import WorkerResult
from bench.worker.lines import End
from specs.files import read_regular
from tests.support.records import (
    UNSEEN,
    a_machine,
    made_calibration,
    made_limits,
    made_turns,
    made_verification,
    make_record,
)
from tests.support.tasks import make_task

MADE = {
    "jobs": make_record,
    "limits": made_limits,
    "noise": made_calibration,
    "turns": made_turns,
    "verifications": made_verification,
}


def sparse(path):
    with path.open("wb") as file:
        file.truncate(10**12)


def looping(path):
    path.symlink_to(path.name)


NO_FILES = {
    "pipe": (os.mkfifo, "not a regular file"),
    "folder": (os.mkdir, "not a regular file"),
    "endless": (lambda path: path.symlink_to("/dev/zero"), "not a regular file"),
    "nowhere": (lambda path: path.symlink_to("gone"), "No such file or directory"),
    "loop": (looping, "Too many levels of symbolic links"),
    "huge": (sparse, "larger than 100 MB"),
}


@pytest.mark.parametrize("kind", MADE)
def test_what_is_no_file_of_a_sane_size_is_left_out_and_the_rest_is_read(kind, tmp_path):
    record = MADE[kind]()
    write(tmp_path, record)
    for name, (make, _) in NO_FILES.items():
        make(tmp_path / f"{name}.json")
    records, left_out = read([tmp_path], type(record))
    assert records == [record]
    assert {file.path.stem: file.reason for file in left_out} == {
        name: f"cannot be read ({why})" for name, (_, why) in NO_FILES.items()
    }


IMPLAUSIBLE = [
    ("jobs", "epochs/0/training/wall_seconds", 0),
    ("jobs", "epochs/0/training/wall_seconds", 5e-324),
    ("jobs", "epochs/0/prediction/wall_seconds", -1.0),
    ("jobs", "epochs/0/test_accuracy", 1.5),
    ("jobs", "epochs/0/test_accuracy", -0.1),
    ("jobs", "epochs/0/running_loss", 1e300),
    ("jobs", "epochs/0/epochs", 0),
    ("jobs", "epochs/0/training/peak_rss_bytes", -1),
    ("jobs", "epochs/0/training/peak_rss_bytes", 10**19),
    ("jobs", "data/test_examples", 0),
    ("jobs", "data/test_examples", -5),
    ("jobs", "data/train_examples", 0),
    ("jobs", "machine/memory_bytes", 10**30),
    ("jobs", "machine/logical_cpus", 0),
    ("jobs", "machine/name", "m" * 1_000_000),
    ("jobs", "reason", "r" * 20_000_000),
    ("jobs", "versions", {"p" * 100_000: "1"}),
    ("jobs", "wall_seconds", -1.0),
    ("limits", "reached/0/seconds", 0),
    ("limits", "value_bytes", -1),
    ("limits", "value_bytes", 0),
    ("limits", "reached/0/work", 0),
    ("noise", "wall", [1e300]),
    ("noise", "cpu", [-1e9]),
    ("noise", "disturbed", -1),
    ("turns", "members/0/share", 0),
    ("turns", "members/0/turns/0/wall_seconds", 0),
    ("turns", "members/0/turns", []),
    ("turns", "orders", [[0, 2], [0, 1]]),
    ("verifications", "pieces/0/findings/0/deviation", -1),
    ("verifications", "planned", -1),
]


@pytest.mark.parametrize(("kind", "place", "value"), IMPLAUSIBLE)
def test_a_value_that_no_machine_measures_is_left_out_and_named(kind, place, value, tmp_path):
    record = MADE[kind]()
    content = json.loads(written(tmp_path, record))
    *parents, last = place.split("/")
    part = content
    for name in parents:
        part = part[int(name) if name.isdigit() else name]
    part[last] = value
    path = tmp_path / "k.json"
    path.write_text(json.dumps(content))
    found = read_file(path, type(record))
    assert isinstance(found, LeftOut)
    assert found.reason.startswith("not plausible (")
    assert last in found.reason
    assert len(found.reason) < 200


def written(folder, record):
    write(folder, record)
    return (folder / "k.json").read_text()


@pytest.mark.parametrize("place", ["memory_bytes", "logical_cpus"])
def test_a_number_that_is_none_of_json_is_damage(place, tmp_path):
    text = written(tmp_path, make_record())
    found = json.loads(text)["machine"][place]
    (tmp_path / "k.json").write_text(text.replace(f'"{place}": {found}', f'"{place}": 1e400'))
    assert read_file(tmp_path / "k.json", Record).reason == "damaged"


def test_a_workload_whose_layers_do_not_fit_is_left_out(tmp_path):
    record = make_record()
    workload = replace(record.job.workload, layers=record.job.workload.layers[1:])
    write(tmp_path, replace(record, job=replace(record.job, workload=workload)))
    assert "not plausible (layers[0]" in read_file(tmp_path / "k.json", Record).reason


@pytest.mark.parametrize("kind", MADE)
@pytest.mark.parametrize("key", ["../evil", "/tmp/evil", "a/b", ".hidden", "a\0b", "", "k\n"])
def test_a_key_that_is_no_plain_name_decides_nothing(kind, key, tmp_path):
    record = replace(MADE[kind](), key="k")
    text = written(tmp_path, record).replace('"key": "k"', f'"key": {json.dumps(key)}')
    (tmp_path / "k.json").write_text(text)
    assert read_file(tmp_path / "k.json", type(record)) == LeftOut(tmp_path / "k.json", "damaged")


@pytest.mark.parametrize("make", [make for make, _ in NO_FILES.values()])
def test_arrays_and_commands_that_are_no_files_are_not_read(make, tmp_path):
    path = path_of(tmp_path, "k")
    path.parent.mkdir()
    for each in (path, path.with_name("k.weights.npz"), tmp_path / "command.txt"):
        make(each)
    assert read_learned(tmp_path, "k") is None or "cannot be read" in str(
        read_learned(tmp_path, "k")
    )
    weights = read_weights(tmp_path, make_record())
    assert weights is None or "cannot be read" in str(weights) or "larger" in str(weights)
    assert not read_command(tmp_path)


def test_a_file_that_grows_while_it_is_read_is_refused(tmp_path):
    # Its system tells 0 bytes, whatever it has.
    with pytest.raises(OSError, match="larger than 1e-05 MB"):
        read_regular(path_of_proc(), 10)


def path_of_proc():
    from pathlib import Path

    return Path("/proc/self/status")


def test_a_lock_that_is_a_link_is_refused_and_empties_nothing(tmp_path):
    victim = tmp_path / "victim"
    victim.write_text("precious")
    folder = tmp_path / "jobs"
    folder.mkdir()
    (folder / ".m.lock").symlink_to(victim)
    with pytest.raises(RunError, match=r"m.lock: cannot be locked"), claim(folder, "m"):
        pass
    assert victim.read_text() == "precious"


def test_a_lock_that_is_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / ".m.lock")
    with pytest.raises(RunError, match="not a regular file"), claim(tmp_path, "m"):
        pass


def test_a_name_of_a_machine_is_no_path(tmp_path):
    folder = tmp_path / "a" / "b"
    with claim(folder, "../../evil"):
        assert [path.name for path in folder.iterdir()] == ["...-..-evil.lock"]
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_failed_writing_leaves_nothing(tmp_path, monkeypatch):
    def full(_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(RunError, match="cannot be written: No space left"):
        write_atomically(tmp_path / "a.json", b"content")
    assert not [*tmp_path.iterdir()]


def test_what_a_killed_writer_has_left_is_removed_at_the_next_start(tmp_path):
    old, new, other = (
        tmp_path / f".a.json.{digit * 32}.{kind}"
        for digit, kind in (("0", "tmp"), ("1", "tmp"), ("2", "else"))
    )
    for path in (old, new, other):
        path.write_bytes(b"half")
    for path in (old, other):
        os.utime(path, (0, 0))
    write_atomically(tmp_path / "b.json", b"whole")
    assert {path.name for path in tmp_path.iterdir()} == {"b.json", other.name}


def test_the_rest_of_a_run_is_read_beside_a_record_that_is_left_out(tmp_path):
    good, bad = make_record("good"), make_record("bad", seed=1)
    write(tmp_path / "jobs", good)
    write(tmp_path / "jobs", replace(bad, data=replace(bad.data, test_examples=0)))
    records, [left_out] = read_run(tmp_path)
    assert records == [good]
    why = "not plausible (data.test_examples: Expected int >= 1)"
    assert str(left_out) == f"{tmp_path / 'jobs' / 'bad.json'}: {why}, left out"


@pytest.mark.parametrize("accuracy", [7.0, -1.0, float("nan")])
def test_a_worker_that_tells_what_cannot_be_has_failed_and_its_record_can_be_read(
    accuracy, tmp_path
):
    told = make_record()
    epochs = [replace(epoch, test_accuracy=accuracy) for epoch in told.epochs]
    data = DataSet(
        name="d",
        folder="/d/e/f",
        checksum="d",
        train_examples=10,
        test_examples=10,
        shape=(28, 28, 1),
        classes=10,
    )
    task = make_task("tests.support.faulty:Raises", data)
    end = End(status="ok", reason="", traceback="", cpu_seconds=1.0)
    result = WorkerResult(
        lines=[told.startup, *epochs],
        end=end,
        started=told.started,
        wall_seconds=1.0,
        peak=None,
        gpu=None,
        disturbance=UNSEEN,
    )
    record = jobs.make_record(task, a_machine(), result)
    assert (record.status, record.epochs) == ("failed", ())
    assert record.reason.startswith(
        "the worker reported an impossible value: epochs[0].test_accuracy: Expected float"
    )
    write(tmp_path, record)
    assert read_file(tmp_path / f"{record.key}.json", Record) == record
