"""A calibration as a record, and the place that it applies to."""

from __future__ import annotations

import numpy as np
from msgspec.structs import replace

from bench.machine.nvml import Gpu
from bench.records.noise import read_calibrations
from bench.records.stored import write
from bench.statistics.noise import calibrate, noise_of
from tests.support.records import make_record, series


def test_a_calibration_is_kept_and_speaks_of_its_own_place_alone(tmp_path):
    random = np.random.default_rng(1)
    short, long = (
        calibrate(series(np.exp(random.normal(0, 0.02, count))), ())[0] for count in (8, 20)
    )
    long = replace(long, key="other", backend="pytorch")
    for one in (short, long):
        write(tmp_path, one)
    (tmp_path / "half.json").write_text('{"format": 1, "key"')
    found, [left_out] = read_calibrations([tmp_path, tmp_path / "nowhere"])
    assert left_out.path.name == "half.json"
    assert sorted(one.key for one in found) == sorted([short.key, long.key])
    assert noise_of(make_record(), found) == long  # the one with more rounds
    assert noise_of(make_record(threads=2), found) is None
    assert noise_of(make_record(device="cuda:0"), found) is None
    elsewhere = make_record()
    assert (
        noise_of(replace(elsewhere, machine=replace(elsewhere.machine, cpu="another")), found)
        is None
    )


def test_a_calibration_of_a_gpu_speaks_of_every_gpu_of_its_kind_and_of_no_other():
    gpu = Gpu(index=0, uuid="GPU-a", name="A100", memory_bytes=1, driver="550.1")

    def on(kind):
        records = series([1.0, 1.1])
        machine = replace(records[0].machine, gpus=(kind,))
        return [
            replace(record, machine=machine, job=replace(record.job, device="cuda:0"))
            for record in records
        ]

    found = calibrate(on(gpu), ())
    assert len(found) == 1
    assert noise_of(on(replace(gpu, uuid="GPU-b"))[0], found) == found[0]
    assert noise_of(on(replace(gpu, driver="560.1"))[0], found) is None
