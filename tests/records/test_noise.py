"""A calibration as a record, and the place that it applies to."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from bench.records.noise import read_calibrations, write_calibration
from bench.statistics.noise import calibrate, noise_of
from tests.support.records import make_record, series


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
    assert (
        noise_of(replace(elsewhere, machine=replace(elsewhere.machine, cpu="another")), found)
        is None
    )
