"""The machine is described."""

from __future__ import annotations

import pytest

from bench.machine import host
from bench.machine.host import job_cpus, load_average, this_machine
from bench.machine.nvml import Gpu


def test_the_machine_is_described():
    machine = this_machine()
    assert machine.name
    assert machine.cpu
    assert 1 <= machine.allowed_cpus <= machine.logical_cpus
    assert machine.memory_bytes > 1e8
    assert load_average() is None or load_average() >= 0


@pytest.mark.parametrize(
    ("threads", "near", "expected"),
    [
        (2, [], [0, 2]),
        (2, [3, 4, 5], [3, 5]),  # 4 is not allowed
        (3, [3, 5], [3, 5, 0]),  # the GPU's socket has two
        (4, [5], [0, 2, 3, 5]),  # all that are allowed
    ],
)
def test_a_job_on_a_gpu_has_cpus_near_it(threads, near, expected, monkeypatch):
    gpu = Gpu(index=0, uuid="GPU-a", name="G", memory_bytes=1, driver="1")
    monkeypatch.setattr(host, "allowed_cpus", lambda: [0, 2, 3, 5])
    monkeypatch.setattr(host, "cpus_near", lambda uuid, cpus: near)
    assert job_cpus(threads, gpu) == expected
    assert job_cpus(threads, None) == [0, 2, 3, 5][:threads]


@pytest.mark.gpu
def test_every_gpu_has_an_identity():
    gpus = this_machine().gpus
    if not gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    assert all(gpu.uuid.startswith(("GPU-", "MIG-")) and gpu.memory_bytes > 1e9 for gpu in gpus)
