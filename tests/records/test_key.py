"""A key changes with whatever decides the measurement and with nothing else."""

from __future__ import annotations

from pathlib import Path

from msgspec.structs import replace

from backends.registry import BACKENDS
from bench.machine.host import this_machine
from bench.records.key import checksum_of
from bench.runner.environments import Environments
from bench.runner.jobs import make_tasks
from tests.support.jobs import make_job
from tests.support.tasks import LIMITS


def test_the_key_changes_with_whatever_decides_the_measurement_and_with_nothing_else(mnist_5k):
    machine = this_machine()

    def key(data=mnist_5k, machine=machine, **changes):
        [task] = make_tasks([(make_job(**changes), data)], Environments(), machine, LIMITS)
        return task.key

    base = key()
    assert key() == base
    others = [
        key(seed=1),
        key(epochs=2),
        key(batch_size=64),
        key(threads=2),
        key(round=1),
        key(deterministic=True),
        key(workload="mlp-relu"),
        key(data=replace(mnist_5k, checksum="0" * 64)),
        key(machine=replace(machine, name="another")),
    ]
    assert len({base, *others}) == len(others) + 1


def test_a_key_covers_all_of_our_text_that_the_worker_runs(monkeypatch):
    """What keras-torch runs: its own files, the language, PyTorch's device, the grading; not another adapter's."""
    read = []
    original = Path.read_bytes
    monkeypatch.setattr(Path, "read_bytes", lambda path: read.append(path.stem) or original(path))
    checksum_of("bench.worker.training", BACKENDS["keras-torch"].adapter)
    assert {
        "keras_torch",
        "keras_model",
        "keras_updates",
        "pytorch_device",
        "worker",
        "initial",
        "model",
    } <= set(read)
    assert not {"keras_jax", "pytorch_layers", "page"} & set(read)
