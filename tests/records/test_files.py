"""Files are written whole or not at all, and what killed writers left is removed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import pytest

from bench.records import files
from bench.records.files import PROJECT, write_atomically, write_new
from specs.files import hold

# Writes a file and stops where the name of the finished file would be given.
_WRITER = """
import pathlib, sys, time
sys.path.insert(0, {project!r})
from bench.records import files
files._rename = lambda *_: (print("written", flush=True), time.sleep(60))
files.write_atomically(pathlib.Path({path!r}), b"half")
"""


@pytest.fixture(autouse=True)
def _a_new_process(monkeypatch):
    monkeypatch.setattr(files, "_SWEPT", set())


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_next_writer_removes_what_one_that_was_killed_left(tmp_path):
    path = tmp_path / "a.json"
    code = _WRITER.format(project=str(PROJECT), path=str(path))
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as writer:
        assert writer.stdout.readline() == b"written\n"
        writer.send_signal(signal.SIGKILL)
    [left] = names(tmp_path)
    assert left.endswith(".tmp")
    write_atomically(path, b"whole")
    assert names(tmp_path) == ["a.json"]
    assert path.read_bytes() == b"whole"


def test_what_another_process_is_writing_stays(tmp_path):
    other = tmp_path / f".b.json.{'0' * 32}.tmp"
    with other.open("wb") as file:
        hold(file.fileno())
        write_atomically(tmp_path / "a.json", b"whole")
        assert names(tmp_path) == [other.name, "a.json"]


@pytest.mark.parametrize(("age", "left"), [(60, True), (4000, False)])
def test_without_locks_what_is_an_hour_old_is_removed(age, left, tmp_path, monkeypatch):
    monkeypatch.setattr("specs.files.fcntl", None)
    other = tmp_path / f".b.json.{'0' * 32}.tmp"
    other.write_bytes(b"")
    then = other.stat().st_mtime - age
    os.utime(other, (then, then))
    write_atomically(tmp_path / "a.json", b"whole")
    assert other.exists() == left


@pytest.mark.parametrize("write", [write_atomically, write_new])
def test_a_writer_whose_file_is_taken_for_left_behind_writes_it_again(write, tmp_path, monkeypatch):
    taken = []

    def take(folder, pattern, *, are_held):
        taken.extend(folder.glob(pattern))
        taken[0].unlink()

    monkeypatch.setattr(files, "remove_leftovers", take)
    write(tmp_path / "a.json", b"whole")
    assert len(taken) == 1
    assert names(tmp_path) == ["a.json"]
    assert (tmp_path / "a.json").read_bytes() == b"whole"
