"""A worker starts in any folder and takes our packages only, wherever they were installed."""

from __future__ import annotations

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import msgspec

from bench.records.files import PROJECT
from bench.worker import start
from tests.support.command import QUICK
from tests.support.lines import read_lines
from tests.support.tasks import make_task

BROKEN = "raise SystemExit('this was not to be imported')\n"


def break_packages(folder, *names):
    for name in names:
        (folder / name).mkdir(parents=True)
        (folder / name / "__init__.py").write_text(BROKEN)


def test_a_worker_imports_our_packages_and_nothing_that_lies_beside_them(mnist_5k, tmp_path):
    """As in the folder of an installed wheel, where the bench's own NumPy lies."""
    installed = tmp_path / "installed"
    for package in ("backends", "bench", "specs"):
        shutil.copytree(PROJECT / package, installed / package)
    break_packages(installed, "numpy", "msgspec")
    assignment, lines = tmp_path / "assignment", tmp_path / "lines"
    task = make_task("backends.reference.oracle:Reference", mnist_5k, epochs=1)
    assignment.write_bytes(msgspec.json.encode(task.assignment))
    script = installed / "bench" / "worker" / "start.py"
    command = [sys.executable, script, assignment, lines, "mark", str(os.getpid())]
    with (installed / "bench" / "worker" / "main.py").open("a") as file:
        file.write("print('the installed one')\n")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "the installed one\n", "")
    assert read_lines(lines, "mark")[-1].status == "ok"


def test_folders_of_the_user_with_our_names_do_no_harm(bench, tmp_path, monkeypatch):
    break_packages(tmp_path, "specs", "bench", "backends", "json")
    assert bench("run", *QUICK)[0] == 0
    (tmp_path / "results").rename(tmp_path / "first")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "more"))
    break_packages(tmp_path / "more", "specs", "bench", "backends")
    code, _, errors = bench("run", *QUICK)
    assert code == 0, errors


def test_the_first_file_of_a_worker_can_be_read_by_python_3_6():
    ast.parse(Path(start.__file__).read_text(), feature_version=(3, 6))
