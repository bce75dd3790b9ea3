"""Creates synthetic records of a run with many rounds, as large as real ones.

`python -m tests.perf.records COUNT FOLDER` writes them as a run that `bench report` reads.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np

from backends.contract import Job
from bench.machine.disturbance import Disturbance
from bench.machine.host import Machine
from bench.records.job import DataUsed, Record
from bench.worker.clock import Phase
from bench.worker.energy import Counter
from bench.worker.lines import Epoch, Startup
from specs.loading import find_workload

WORKLOADS = ("softmax", "mlp-sigmoid", "mlp-relu", "mlp-relu-dropout", "cnn", "lenet5")
# Backend -> its epoch time, in epochs of the fastest. Some pairs differ much, others little.
BACKENDS = {
    "keras-tensorflow": 1.6,
    "keras-jax": 1.4,
    "keras-torch": 2.2,
    "pytorch": 1.2,
    "pytorch-compiled": 1.01,
    "tensorflow": 1.3,
    "jax": 1.0,
}
SEEDS = 5
EPOCHS = 2
FAILED = 0.01  # of all jobs
_MACHINE = Machine(
    name="node-1",
    system="Linux 6.8.0",
    cpu="AMD EPYC 7763 64-Core Processor",
    logical_cpus=128,
    allowed_cpus=8,
    memory_bytes=270_000_000_000,
    gpus=(),
)
_UNDISTURBED = Disturbance(
    other_cpu=0.01, steal=0.0, frequency=0.98, gpu_processes=None, gpu_throttled=None
)
_VERSIONS = {"python": "3.11.7", "numpy": "2.4.6", "msgspec": "0.22.0"}


def make_records(count: int) -> Iterator[Record]:
    """The given number of records of one run: all workloads and backends of each seed and round."""
    random = np.random.default_rng(0)
    workloads = [find_workload(name) for name in WORKLOADS]
    pairs = [(workload, backend) for workload in workloads for backend in BACKENDS]
    for number in range(count):
        repetition, index = divmod(number, len(pairs))
        workload, backend = pairs[index]
        job = Job(
            workload=workload,
            dataset="mnist",
            mode="matched",
            backend=backend,
            device="cpu",
            threads=8,
            seed=repetition % SEEDS,
            precision="float32",
            compiled=backend.endswith(("jax", "compiled")),
            deterministic=False,
            epochs=EPOCHS,
            batch_size=128,
            round=repetition // SEEDS,
        )
        yield _record(number, job, random)


def write_records(folder: Path, count: int) -> None:
    """Write `make_records` as the files of a run, without waiting for the disk."""
    (folder / "jobs").mkdir(parents=True)
    for record in make_records(count):
        content = msgspec.json.format(msgspec.json.encode(record), indent=1)
        (folder / "jobs" / f"{record.key}.json").write_bytes(content)


def _record(number: int, job: Job, random: np.random.Generator) -> Record:
    failed = bool(random.random() < FAILED)
    scale = (1 + WORKLOADS.index(job.workload.name)) * BACKENDS[job.backend]
    return Record(
        format=Record.FORMAT,
        key=f"{job.workload.name}.{job.backend}.cpu.s{job.seed}.r{job.round}.{number:012x}",
        status="failed" if failed else "ok",
        reason="RuntimeError: made up" if failed else "",
        details="Traceback (most recent call last): made up" if failed else "",
        job=job,
        data=DataUsed(
            name="mnist",
            checksum="d478ed1a33204036" * 4,
            train_examples=60_000,
            test_examples=10_000,
        ),
        machine=_MACHINE,
        versions={**_VERSIONS, job.backend.partition("-")[0]: "1.0"},
        adapter_checksum="5f2b" * 4,
        started=_time(number),
        wall_seconds=10.0 * scale,
        cpu_seconds=70.0 * scale,
        load_average=float(random.uniform(7.0, 8.5)),
        disturbance=_UNDISTURBED,
        startup=Startup(
            phases=(
                _phase("import", 2, random),
                _phase("build", 1, random),
                _phase("load", 0.1, random),
            ),
            weights_checksum=f"w{job.seed:015d}",
            settings={
                "threads": 8,
                "float32_matmul_precision": "highest",
                "compiled": job.compiled,
                "device": "cpu",
            },
            train_evaluated=10_000,
            energy=Counter(reason="made up"),
            host_energy=None,
        ),
        epochs=()
        if failed
        else tuple(_epoch(e, job.seed, scale, random) for e in range(1, EPOCHS + 1)),
        inputs=None,
        device_memory=None,
        device_peak_bytes=None,
        device_peak_by=None,
    )


def _epoch(number: int, seed: int, scale: float, random: np.random.Generator) -> Epoch:
    accuracy = 0.9 + 0.02 * number + float(random.normal(0, 0.001))
    return Epoch(
        number=number,
        training=_phase("train", scale * (2 if number == 1 else 1), random),
        prediction=_phase("predict", 0.1 * scale, random),
        running_loss=0.3 / number,
        test_loss=0.2 / number,
        test_accuracy=accuracy,
        train_loss=0.2 / number,
        train_accuracy=accuracy + 0.005,
        order_checksum=f"o{seed:07d}{number:08d}",
    )


def _phase(name: str, seconds: float, random: np.random.Generator) -> Phase:
    wall = seconds * float(random.lognormal(0, 0.03))
    return Phase(
        name=name,
        wall_seconds=wall,
        cpu_seconds=7 * wall,
        peak_rss_bytes=int(random.integers(4e8, 9e8)),
    )


def _time(number: int) -> str:
    """The UTC time of a record: one second after that of the record before."""
    minutes, seconds = divmod(number, 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    return f"2026-01-{1 + days:02d}T{hours:02d}:{minutes:02d}:{seconds:02d}Z"


if __name__ == "__main__":
    write_records(Path(sys.argv[2]), int(sys.argv[1]))
