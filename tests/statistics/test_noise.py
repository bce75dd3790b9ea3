"""The differences that a machine can resolve, from made-up noise with known answers."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec.structs import replace

from bench.machine.disturbance import Disturbance
from bench.statistics.noise import (
    SHORT,
    calibrate,
    describe,
    false_alarms,
    process_spread,
    rounds_by_difference,
)
from tests.support.jobs import named
from tests.support.records import series


def test_two_jobs_in_a_row_are_a_round_and_change_sides():
    [found] = calibrate(series([1.0, 2.0, 1.0, 2.0, 3.0, 3.0]), ())
    assert np.exp(found.wall) == pytest.approx([0.5, 2.0, 1.0])
    assert np.exp(found.cpu) == pytest.approx([0.5, 2.0, 1.0])
    assert found.scatter == pytest.approx(1.0)
    assert (found.backend, found.workload, found.disturbed) == ("reference", "softmax", 0)


def test_what_did_not_end_ok_is_left_out_with_its_round_and_an_odd_job_waits_for_its_second():
    records = series([1.0, 2.0, 1.0, 2.0, 5.0])
    records[1] = replace(records[1], status="failed")
    [found] = calibrate(records, ())
    assert np.exp(found.wall) == pytest.approx([0.5])
    assert calibrate(records[:2], ()) == []


def test_machines_threads_and_adapters_are_never_mixed():
    records = series([1.0, 2.0])
    other = [replace(r, machine=replace(r.machine, name="other")) for r in series([1.0, 1.0])]
    newer = series([2.0, 1.0], adapter_checksum="new")
    threads = [replace(r, job=replace(r.job, threads=2)) for r in series([4.0, 1.0])]
    assert len(calibrate([*records, *other, *newer, *threads], ())) == 4


def test_disturbed_rounds_are_counted_and_said():
    loud = Disturbance(
        other_cpu=0.9, steal=None, frequency=None, gpu_processes=None, gpu_throttled=None
    )
    records = series([1.0, 2.0, 1.0, 2.0])
    records[2] = replace(records[2], disturbance=loud)
    assert calibrate(records, ())[0].disturbed == 1


def test_a_quiet_calibration_of_another_workload_makes_no_verdict_surer():
    """Softmax on few images differs little between processes; other workloads may differ more."""
    record, *_ = records = series([1.0, 2.0])
    [calibration] = calibrate(records, ())
    quiet = replace(calibration, turns=(0.01, -0.01) * 10)
    loud = replace(calibration, turns=(0.3, -0.3) * 10)
    other = replace(record, job=replace(record.job, workload=named("mlp-tanh")))
    assert process_spread(record, [quiet]).log_ratios == quiet.turns
    assert "another machine" in process_spread(record, []).source
    assert process_spread(other, [quiet]) == process_spread(other, [])
    assert process_spread(other, [quiet, loud]).log_ratios == loud.turns
    text = describe(quiet, 1, by_turns=True)
    assert "half of the pairs of processes differ by more than 1 %, and all by at most 1 %" in text


def test_false_alarms_are_of_comparisons_that_do_not_share_rounds():
    assert SHORT == 11
    assert false_alarms([0.1] * 33, 11) == (3, 3)
    assert false_alarms([0.1] * 32, 11) == (2, 2)
    assert false_alarms([0.1, -0.1] * 11, 11) == (0, 2)
    # There is one at the first look, but not at the last.
    assert false_alarms([0.1] * 11 + [-0.1] * 9, 20) == (1, 1)
    assert false_alarms([0.1] * 10, 11) == (0, 0)


def test_of_identical_contestants_few_are_told_apart():
    random = np.random.default_rng(0)
    alarms, trials = false_alarms(random.normal(0, 0.1, 11 * 1000), 11)
    assert trials == 1000
    assert alarms <= 10


def test_what_is_said_fits_the_noise():
    random = np.random.default_rng(1)
    [found] = calibrate(series(np.exp(random.normal(0, 0.02, 160))), ())
    text = describe(found, 40)
    assert text.startswith(
        "Noise (reference against itself, softmax, 80 rounds on m): half of the rounds differ by"
    )
    assert "0 of 7 comparisons wrongly named a faster one (0 % to 41 %)" in text
    assert "After 40 rounds a difference of" in text
    assert describe(found, 3).endswith("Fewer than 11 rounds cannot show a difference.")
    rounds = {difference: wall for difference, wall, _ in rounds_by_difference(found)}
    assert rounds[0.2] < rounds[0.05] < rounds[0.02]
    [few] = calibrate(series(np.exp(random.normal(0, 0.02, 16))), ())
    assert describe(few, 11).endswith("After 11 rounds no difference is found reliably.")
