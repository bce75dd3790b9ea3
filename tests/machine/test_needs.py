"""What a job needs at least; one that cannot have it is not started, and has a record."""

from __future__ import annotations

from types import SimpleNamespace

import psutil
import pytest
from msgspec.structs import replace

from bench.machine import room
from bench.machine.host import this_machine
from bench.machine.needs import Needs, needs_of
from bench.records.files import PROJECT
from bench.records.job import Record
from bench.records.stored import read
from bench.runner.group import GroupRunner
from bench.runner.turns import Wanted
from specs.model import Adam, Dense, Flatten
from tests.support.jobs import make_job
from tests.support.tasks import Watcher, make_task

MB = 1_000_000


def large(units, **job):
    """A job with a hidden layer of so many units; MNIST's images have 784 pixels."""
    made = make_job(**job)
    adam = Adam(
        learning_rate=1e-3, beta_1=0.9, beta_2=0.999, epsilon=1e-7, epsilon_form="after_correction"
    )
    layers = (
        Flatten(),
        Dense(units=units, activation="relu"),
        Dense(units=10, activation="linear"),
    )
    return replace(made, workload=replace(made.workload, layers=layers, optimizer=adam))


@pytest.mark.parametrize(
    ("device", "mode", "precision", "host", "gpu"),
    [
        # data 31.4 MB; 795,010 weights with two states each and a gradient; 100 examples in a layer
        ("cpu", "matched", "float32", 31_360_000 + 12_676_120 + 713_600, 0),
        # the optimizer may be another one, so that drawing the weights takes most
        ("cpu", "native", "float32", 31_360_000 + 9_408_000, 0),
        ("cuda:0", "matched", "float32", 31_360_000 + 9_408_000, 12_676_120 + 713_600),
        ("cuda:0", "matched", "bfloat16", 31_360_000 + 9_408_000, 12_676_120 + 356_800),
        ("2xcuda:0", "matched", "float32", 31_360_000 + 9_408_000, 12_676_120 + 356_800),
        ("spark://h:1", "native", "float32", 31_360_000 + 9_408_000, 0),
    ],
)
def test_what_a_job_needs_is_what_every_backend_has_at_one_time(device, mode, precision, host, gpu):
    job = large(1000, device=device, mode=mode, precision=precision, batch_size=100)
    assert needs_of(job, 10_000) == Needs(host, gpu)


def test_no_job_that_ran_needed_less():
    records = read(sorted((PROJECT / "results").glob("*/jobs")), Record)[0]
    ran = [record for record in records if record.status == "ok"]
    assert len(ran) > 100
    for record in ran:
        phases = [*record.startup.phases, *(epoch.training for epoch in record.epochs)]
        peak = max(phase.peak_rss_bytes or 0 for phase in phases)
        data = record.data
        needs = needs_of(record.job, data.train_examples + data.test_examples)
        assert needs.host < 0.7 * peak, record.key


def test_free_memory_is_that_of_the_machine_its_swap_and_its_group(tmp_path, monkeypatch):
    free = psutil.virtual_memory().available + psutil.swap_memory().free
    assert room.cannot_fit(Needs(free // 2, 0), None) == ""
    reason = room.cannot_fit(Needs(2 * free, 0), None)
    assert reason.startswith(f"needs at least {2 * free / 1e9:.3g} GB of memory, ")
    # a container with 100 MB, of which files use 30 that they would give back
    files = {"_LIMIT": "100000000", "_USED": "90000000", "_FIGURES": "anon 1\nactive_file 30000000"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
        monkeypatch.setattr(room, name, tmp_path / name)
    monkeypatch.setattr(psutil, "swap_memory", lambda: SimpleNamespace(free=0))
    assert room.cannot_fit(Needs(40 * MB, 0), None) == ""
    needed = room.cannot_fit(Needs(41 * MB, 0), None)
    assert needed == "needs at least 0.041 GB of memory, 0.04 GB are free"


def test_a_job_that_cannot_have_its_memory_is_not_started_and_the_others_run(mnist_5k, tmp_path):
    small = make_task("backends.reference.oracle:Reference", mnist_5k, epochs=1)
    data = replace(mnist_5k, train_examples=10**9)
    huge = replace(small, key="huge", data=data)
    runner = GroupRunner(
        folder=tmp_path,
        machine=this_machine(),
        timeout=60.0,
        observer=Watcher(),
        reused={},
        wanted=Wanted(sweeps=0),
        taken={},
    )
    first, second = runner.run([huge, small])
    assert (first.status, second.status) == ("out of memory", "ok")
    assert first.reason.startswith("not started: needs at least 3.14e+03 GB of memory, ")
    assert first.wall_seconds == 0.0
    assert not list((tmp_path / "jobs").glob("huge.log"))
