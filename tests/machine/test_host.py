"""The machine is described."""

from __future__ import annotations

import pytest

from bench.machine.host import load_average, this_machine


def test_the_machine_is_described():
    machine = this_machine()
    assert machine.name
    assert machine.cpu
    assert 1 <= machine.allowed_cpus <= machine.logical_cpus
    assert machine.memory_bytes > 1e8
    assert load_average() is None or load_average() >= 0


@pytest.mark.gpu
def test_every_gpu_has_an_identity():
    gpus = this_machine().gpus
    if not gpus:
        pytest.skip("this machine has no NVIDIA GPU")
    assert all(gpu.uuid.startswith("GPU-") and gpu.memory_bytes > 1e9 for gpu in gpus)
