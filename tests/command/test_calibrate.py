"""`bench calibrate` and runs until they are precise, with real jobs."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest


@pytest.mark.slow
def test_calibrating_goes_on_where_it_stopped_and_the_reports_of_runs_say_what_it_found(bench):
    run = (
        "run",
        "softmax",
        "--dataset",
        "mnist-5k",
        "--backend",
        "reference",
        "--epochs",
        "1",
        "--threads",
        "1",
    )
    code, out, _ = bench(*run)
    assert code == 0
    assert "Timing noise on" in Path("results/softmax/report.md").read_text()
    calibrating = ("calibrate", "--backend", "reference", "--threads", "1", "--epochs", "2")
    code, out, errors = bench(*calibrating, "--rounds", "1")
    assert code == 0
    assert errors.count("s/epoch") == 2
    code, out, errors = bench(*calibrating, "--rounds", "2")
    assert errors.count("(reused)") == 2
    assert "Noise (reference against itself, softmax, 2 rounds on" in out
    assert "more than 200" in out
    code, out, _ = bench("report", "results/softmax")
    assert "Noise (reference against itself" in out.replace("\n", " ")
    shutil.rmtree("results/noise")  # the run has its own copy, so that it can be sent as it is
    code, out, _ = bench("report", "results/softmax")
    assert "Noise (reference against itself" in out.replace("\n", " ")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["run", "softmax", "--until-precise", "2"], "expected a percentage, e.g. 2% or 0.5%"),
        (["run", "softmax", "--until-precise", "0%"], "expected a percentage"),
        (["run", "softmax", "--budget", "30"], "expected a time, e.g. 90s, 30m or 2h"),
        (["run", "softmax", "--rounds", "3", "--until-precise", "2%"], "not allowed with argument"),
        (
            ["run", "softmax", "--backend", "reference", "--until-precise", "2%"],
            "reference is the only one",
        ),
        (["calibrate", "--workload", "nothing", "--backend", "reference"], "no workload is named"),
        (["calibrate", "--rounds", "0"], "expected a whole number"),
    ],
)
def test_bad_input_is_told_with_what_would_be_right(arguments, expected, bench):
    code, _, errors = bench(*arguments)
    assert code == 2
    assert expected in errors


@pytest.mark.framework
def test_until_precise_says_what_ended_it(bench):
    code, out, _ = bench(
        *("run", "softmax", "--dataset", "mnist-5k", "--epochs", "2", "--threads", "1"),
        *("--backend", "reference,pytorch", "--turns", "0"),
        *("--until-precise", "0.1%", "--budget", "1s"),
    )
    assert code == 0
    assert "softmax cpu: time is up after 1 round, precision unknown: too few rounds" in out
