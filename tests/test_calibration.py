"""What a machine can tell apart: from made-up noise with known answers, and from real jobs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from msgspec.structs import replace
from test_report import make_record

from bench.calibration import (
    SHORT,
    calibrate,
    false_alarms,
    needed,
    noise_of,
    read_calibrations,
    say,
    write_calibration,
)
from bench.disturbance import Disturbance


def series(times, **changes):
    """A job per time, of one backend, as `bench calibrate` leaves them."""
    return [
        replace(make_record(f"k{turn}", times=(9.0, time, time), accuracies=(0.9,) * 3, round=turn), **changes)
        for turn, time in enumerate(times)
    ]


def test_two_jobs_in_a_row_are_a_round_and_change_sides():
    [found] = calibrate(series([1.0, 2.0, 1.0, 2.0, 3.0, 3.0]))
    assert np.exp(found.wall) == pytest.approx([0.5, 2.0, 1.0])
    assert np.exp(found.cpu) == pytest.approx([0.5, 2.0, 1.0])
    assert found.scatter == pytest.approx(1.0)
    assert (found.backend, found.workload, found.disturbed) == ("reference", "softmax", 0)


def test_what_did_not_end_ok_is_left_out_with_its_round_and_an_odd_job_waits_for_its_second():
    records = series([1.0, 2.0, 1.0, 2.0, 5.0])
    records[1] = replace(records[1], status="failed")
    [found] = calibrate(records)
    assert np.exp(found.wall) == pytest.approx([0.5])
    assert calibrate(records[:2]) == []


def test_machines_threads_and_adapters_are_never_mixed():
    records = series([1.0, 2.0])
    other = [replace(r, machine=replace(r.machine, name="other")) for r in series([1.0, 1.0])]
    newer = series([2.0, 1.0], adapter_checksum="new")
    threads = [replace(r, job=replace(r.job, threads=2)) for r in series([4.0, 1.0])]
    assert len(calibrate([*records, *other, *newer, *threads])) == 4


def test_disturbed_rounds_are_counted_and_said():
    loud = Disturbance(other_cpu=0.9, steal=None, frequency=None, gpu_processes=None, gpu_throttled=None)
    records = series([1.0, 2.0, 1.0, 2.0])
    records[2] = replace(records[2], disturbance=loud)
    assert calibrate(records)[0].disturbed == 1


def test_false_alarms_are_of_comparisons_that_do_not_share_rounds():
    assert SHORT == 11
    assert false_alarms([0.1] * 33, 11) == (3, 3)
    assert false_alarms([0.1] * 32, 11) == (2, 2)
    assert false_alarms([0.1, -0.1] * 11, 11) == (0, 2)
    assert false_alarms([0.1] * 11 + [-0.1] * 9, 20) == (1, 1)  # at the first look, though not at the last
    assert false_alarms([0.1] * 10, 11) == (0, 0)


def test_of_identical_contestants_few_are_told_apart():
    random = np.random.default_rng(0)
    alarms, trials = false_alarms(random.normal(0, 0.1, 11 * 1000), 11)
    assert trials == 1000
    assert alarms <= 10


def test_what_is_said_fits_the_noise():
    random = np.random.default_rng(1)
    [found] = calibrate(series(np.exp(random.normal(0, 0.02, 160))))
    text = say(found, 40)
    assert text.startswith("Noise (reference against itself, softmax, 80 rounds on m): half of the rounds differ by")
    assert "0 of 7 comparisons named a faster one (0 % to 41 %)" in text
    assert "After 40 rounds a difference of" in text
    assert say(found, 3).endswith("No difference is sure in fewer than 11 rounds.")
    rounds = {difference: wall for difference, wall, _ in needed(found)}
    assert rounds[0.2] < rounds[0.05] < rounds[0.02]
    [few] = calibrate(series(np.exp(random.normal(0, 0.02, 16))))
    assert say(few, 11).endswith("After 11 rounds no difference is found for sure.")


def test_a_calibration_is_kept_and_speaks_of_its_own_place_alone(tmp_path):
    random = np.random.default_rng(1)
    short, long = (calibrate(series(np.exp(random.normal(0, 0.02, count))))[0] for count in (8, 20))
    long = replace(long, key="other", backend="pytorch")
    for one in (short, long):
        write_calibration(one, tmp_path)
    (tmp_path / "half.json").write_text('{"format": 1, "key"')
    found = read_calibrations([tmp_path, tmp_path / "nowhere"])
    assert sorted(one.key for one in found) == sorted([short.key, long.key])
    assert noise_of(make_record(), found) == long  # the one with more rounds
    assert noise_of(make_record(threads=2), found) is None
    assert noise_of(make_record(device="cuda:0"), found) is None
    elsewhere = make_record()
    assert noise_of(replace(elsewhere, machine=replace(elsewhere.machine, cpu="another")), found) is None


def test_calibrating_goes_on_where_it_stopped_and_the_reports_of_runs_say_what_it_found(bench):
    run = ("run", "softmax", "--dataset", "mnist-5k", "--backend", "reference", "--epochs", "1", "--threads", "1")
    code, out, _ = bench(*run)
    assert code == 0
    assert "Nobody has measured how noisy" in out
    calibrating = ("calibrate", "--backend", "reference", "--threads", "1", "--epochs", "2")
    code, out, errors = bench(*calibrating, "--rounds", "1")
    assert code == 0
    assert errors.count("s/epoch") == 2
    code, out, errors = bench(*calibrating, "--rounds", "2")
    assert errors.count("kept from before") == 2
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
        (["run", "softmax", "--until-precise", "2"], "expected a percentage, as 2% or 0.5%"),
        (["run", "softmax", "--until-precise", "0%"], "expected a percentage"),
        (["run", "softmax", "--budget", "30"], "expected a time, as 90s, 30m or 2h"),
        (["run", "softmax", "--rounds", "3", "--until-precise", "2%"], "not allowed with argument"),
        (["run", "softmax", "--backend", "reference", "--until-precise", "2%"], "reference is alone"),
        (["calibrate", "--workload", "nothing"], "nothing"),
        (["calibrate", "--rounds", "0"], "expected a whole number"),
    ],
)
def test_bad_input_is_told_with_what_would_be_right(arguments, expected, bench):
    code, _, errors = bench(*arguments)
    assert code == 2
    assert expected in errors


def test_until_precise_says_what_ended_it(bench):
    code, out, _ = bench(
        *("run", "softmax", "--dataset", "mnist-5k", "--epochs", "2", "--threads", "1"),
        *("--backend", "reference,pytorch", "--until-precise", "0.1%", "--budget", "1s"),
    )
    assert code == 0
    assert "softmax cpu: time is up after 1 round, too few rounds to say" in out
