"""Records of every kind, made up; `changes` replace any of their fields."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from msgspec.structs import replace

from backends.contract import DeviceMemory
from bench.machine.disturbance import Disturbance
from bench.machine.host import Machine, this_machine
from bench.records.job import DataUsed, Record
from bench.records.limits import EngineLimits
from bench.records.noise import Calibration
from bench.records.turns import Member, Turns
from bench.records.verification import Verification, checks_checksum
from bench.report.form.blocks import Folded
from bench.report.run import Run
from bench.worker.clock import Phase
from bench.worker.energy import Counter
from bench.worker.lines import Epoch, Finding, ModelFindings, Reached, Startup, Turn
from tests.support.jobs import make_job

UNSEEN = Disturbance(
    other_cpu=None, steal=None, frequency=None, gpu_processes=None, gpu_throttled=None
)


@cache
def a_machine() -> Machine:
    """This one under another name; read once, as thousands of records are made."""
    return replace(this_machine(), name="m")


def series(times, **changes):
    """A job per given time, all of one backend, as `bench calibrate` writes them."""
    return [
        replace(
            make_record(f"k{turn}", times=(9.0, time, time), accuracies=(0.9,) * 3, round=turn),
            **changes,
        )
        for turn, time in enumerate(times)
    ]


def on_gpu(key, peak, *, by="process", anew=True, first=None, **job):
    memory = DeviceMemory(
        allocator_peak_bytes=300_000_000, began_anew=anew, first_epoch_bytes=first
    )
    return replace(
        make_record(key, **job), device_memory=memory, device_peak_bytes=peak, device_peak_by=by
    )


def made_verification(**changes) -> Verification:
    """A verification in which everything is as it should be."""
    fields = {
        "format": Verification.FORMAT,
        "key": "k",
        "status": "ok",
        "reason": "",
        "details": "",
        "backend": "pytorch",
        "mode": "matched",
        "device": "cpu",
        "threads": 1,
        "machine": a_machine(),
        "versions": {},
        "adapter_checksum": "a",
        "checks_checksum": checks_checksum(),
        "started": "2026-01-01T00:00:00Z",
        "wall_seconds": 1.0,
        "settings": {},
        "pieces": (piece(0.25),),
        "planned": 1,
    }
    return Verification(**{**fields, **changes})


def piece(deviation, check="steps"):
    return ModelFindings(
        model="softmax",
        seed=0,
        findings=(Finding(check=check, deviation=deviation, where="step 0, loss"),),
    )


def make_record(
    key="k",
    *,
    times=(4.0, 1.0, 3.0, 2.0),
    accuracies=(0.5, 0.9, 0.8, 0.7),
    status="ok",
    data="d",
    **job,
):
    """A record of four epochs, of which the first is slow, and the best is not the last."""
    epochs = enumerate(zip(times, accuracies, strict=True), start=1)
    return Record(
        format=Record.FORMAT,
        key=key,
        status=status,
        reason="" if status == "ok" else "why",
        details="",
        job=make_job(**{"epochs": len(times), **job}),
        data=DataUsed(name=data, checksum=data, train_examples=1000, test_examples=100),
        machine=a_machine(),
        versions={},
        adapter_checksum="",
        started="2026-01-01T00:00:00Z",
        wall_seconds=1.0,
        cpu_seconds=1.0,
        load_average=0.5,
        disturbance=UNSEEN,
        startup=Startup(
            phases=(make_phase("import", 1.0), make_phase("build", 2.0), make_phase("load", 3.0)),
            weights_checksum="w",
            settings={},
            train_evaluated=10,
            energy=Counter(reason="not measured"),
            host_energy=None,
        ),
        epochs=tuple(make_epoch(number, *figures) for number, figures in epochs)
        if status == "ok"
        else (),
        inputs=None,
        device_memory=None,
        device_peak_bytes=None,
        device_peak_by=None,
    )


def make_phase(name, value):
    """A phase that took the given seconds."""
    return Phase(name=name, wall_seconds=value, cpu_seconds=2 * value, peak_rss_bytes=100)


def make_epoch(number, seconds, accuracy):
    """An epoch with the given seconds of training, and the same accuracy on both sets.

    The loss falls from epoch to epoch, as otherwise a result is suspect.
    """
    return Epoch(
        number=number,
        training=make_phase("train", seconds),
        prediction=make_phase("predict", 0.5),
        running_loss=1.0 / number,
        test_loss=1.0,
        test_accuracy=accuracy,
        train_loss=1.0,
        train_accuracy=accuracy,
        order_checksum="o",
    )


def run_of(*records, folder=Path("run")):
    """The run of these records; nothing is read or written unless a section does so."""
    return Run(records, folder)


def summary(*records):
    return run_of(*records).summary


def blocks_of(kind, blocks):
    """All blocks of a kind, also folded ones, in their order."""
    return [
        inner
        for block in blocks
        for inner in (
            blocks_of(kind, block.blocks)
            if isinstance(block, Folded) and kind is not Folded
            else [block]
        )
        if isinstance(inner, kind)
    ]


def native(record, optimizer="SGD lr=0.01", **changes):
    """The record in native mode, its input pipeline read in half a second."""
    settings = {"compiled": False, "optimizer": optimizer}
    made = replace(
        record,
        job=replace(record.job, mode="native"),
        startup=replace(record.startup, settings=settings),
    )
    inputs = Phase(name="inputs", wall_seconds=0.5, cpu_seconds=0.5, peak_rss_bytes=1)
    return replace(made, key="n", inputs=inputs, **changes)


def reached(operation, size, work, rate):
    return Reached(
        operation=operation, size=size, work=work, seconds=work / rate, repeats=3, chain=1
    )


def made_limits(
    product=100e9, memory=((1, 100e9), (10**9, 10e9)), convolution=50e9, call=1e-6, **changes
):
    fields = {
        "format": EngineLimits.FORMAT,
        "key": "k",
        "status": "ok",
        "reason": "",
        "details": "",
        "environment": "bench",
        "device": "cpu",
        "threads": 1,
        "precision": "float32",
        "machine": a_machine(),
        "versions": {},
        "adapter_checksum": "",
        "started": "2026-01-01T00:00:00Z",
        "wall_seconds": 1.0,
        "value_bytes": 4,
        "settings": {},
        "reached": (
            reached("matmul", 64, 100, product / 2),
            reached("matmul", 128, 1000, product),
            reached("convolution", 8, 1000, convolution),
            Reached(operation="memory", size=32, work=0, seconds=call, repeats=3, chain=1),
            *(
                Reached(
                    operation="memory", size=w, work=w, seconds=max(w / r, call), repeats=3, chain=1
                )
                for w, r in memory
            ),
        ),
    }
    return EngineLimits(**{**fields, **changes})


def made_calibration():
    """A calibration of two rounds."""
    return Calibration(
        format=Calibration.FORMAT,
        key="k",
        machine=a_machine(),
        versions={},
        device="cpu",
        threads=1,
        backend="reference",
        workload="softmax",
        dataset="mnist-5k",
        epochs=5,
        batch_size=64,
        wall=(0.01, -0.02),
        cpu=(-0.01, 0.02),
        disturbed=0,
        ended="2026-01-01T00:00:00Z",
    )


def made_turns(jobs=("a", "b")):
    """Two sweeps of two jobs, given by their keys."""
    turn = Turn(wall_seconds=1.0, cpu_seconds=1.0, waited_seconds=1.0, waited_cpu_seconds=None)
    members = tuple(
        Member(job=job, backend="reference", is_new=False, share=1.0, turns=(turn, turn))
        for job in jobs
    )
    return Turns(
        format=Turns.FORMAT,
        key="k",
        machine=a_machine(),
        versions={},
        members=members,
        orders=((0, 1), (1, 0)),
        refused="",
        disturbance=None,
        started="2026-01-01T00:00:00Z",
        wall_seconds=4.0,
    )
