"""Lists, pages of help, and pipes whose reader has closed."""

from __future__ import annotations

import subprocess
import sys


def test_lists_and_pages_of_help_name_what_there_is(bench):
    _, output, _ = bench("list")
    output_of_list = output
    for name in (
        "quick",
        "smoke",
        "course",
        "cnn",
        "mlp-relu",
        "softmax",
        "pytorch",
        "keras-tensorflow",
        "mnist-5k",
    ):
        assert name in output
    _, output, _ = bench("show", "cnn")
    assert "1,192,042" in output
    assert "99.23 %" in output
    assert "untested: mps" in output_of_list
    code, output, _ = bench("data")
    assert code == 0
    assert "not there" in output


def test_a_reader_that_goes_away_is_no_error():
    command = f"{sys.executable} -m bench list | head -1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, check=False)
    assert done.stdout == "suites\n"
    assert done.stderr == ""
