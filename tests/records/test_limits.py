"""Which measured limits apply to which jobs."""

from __future__ import annotations

from msgspec.structs import replace

from bench.machine.nvml import Gpu
from bench.records.limits import limits_of
from tests.support.jobs import make_job
from tests.support.records import made_limits

HERE = made_limits().machine


def test_limits_speak_of_their_own_engine_device_threads_and_machine_alone():
    older, newer = made_limits(), made_limits(key="l", started="2026-01-02T00:00:00Z")
    assert limits_of(make_job(), HERE, [older, newer]) == newer
    assert limits_of(make_job(), replace(HERE, name="other"), [older]) is None
    assert limits_of(make_job(threads=2), HERE, [older]) is None
    assert limits_of(make_job(backend="pytorch"), HERE, [older]) is None
    assert limits_of(make_job(precision="tf32"), HERE, [older]) is None
    assert limits_of(make_job(backend="gone"), HERE, [older]) is None


def test_limits_of_a_gpu_speak_of_every_gpu_of_its_kind_and_of_no_other():
    gpu = Gpu(index=0, uuid="GPU-a", name="A100", memory_bytes=1, driver="550.1")
    made = made_limits(device="cuda:0", machine=replace(HERE, gpus=(gpu,)))
    job = make_job(device="cuda:0")
    another = replace(HERE, gpus=(replace(gpu, uuid="GPU-b"),))
    updated = replace(HERE, gpus=(replace(gpu, driver="560.1"),))
    assert limits_of(job, another, [made]) == made
    assert limits_of(job, updated, [made]) is None
