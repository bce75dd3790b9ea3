"""A made-up run for the overview, always the same.

`python -m tests.support.overview FOLDER` writes the golden files again; look at what `git diff`
shows.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from msgspec.structs import replace

from bench.data.cache import materialise
from bench.data.dataset import DataSet, Places
from bench.machine.host import Machine
from bench.overview.deck import make_deck
from bench.overview.facts import read_facts
from bench.overview.material import Images, Material
from bench.overview.results import Results
from bench.overview.slides import Deck
from bench.overview.write.files import write_overview
from bench.records.job import DataUsed
from bench.records.learned import path_of
from bench.records.stored import write
from bench.report.run import Run
from bench.worker.learned import keep_learned
from bench.worker.lines import JobVerification
from specs.initial import initial_weights
from specs.loading import find_workload
from tests.support.records import make_record

GOLDEN = Path(__file__).parents[1] / "overview" / "golden"
MACHINE = Machine(
    name="lab",
    system="Linux 6",
    cpu="A CPU of 8 cores",
    logical_cpus=8,
    allowed_cpus=2,
    memory_bytes=16 * 10**9,
    gpus=(),
)
# Workload -> the accuracies of its two epochs.
ACCURACIES = {
    "softmax": (0.85, 0.90),
    "mlp-sigmoid": (0.40, 0.88),
    "mlp-tanh": (0.80, 0.94),
    "mlp-relu": (0.82, 0.95),
    "mlp-relu-dropout": (0.80, 0.95),
    "mlp-relu-quadratic": (0.60, 0.90),
    "cnn": (0.93, 0.98),
}
SECONDS = {"pytorch": 2.0, "jax": 1.0}
ROUNDS = {"softmax": 20, "mlp-relu": 20, "cnn": 20}  # of the others one
PASSED = JobVerification(method="exact", steps=3, partial_batch=0, deviations={"loss": 0.1})


def data_of(data_set: DataSet) -> DataUsed:
    """A data set as a record has it."""
    return DataUsed(
        name="mnist-made-up",  # packaged workloads have bands on the others
        checksum=data_set.checksum,
        train_examples=data_set.train_examples,
        test_examples=data_set.test_examples,
    )


def made_records(data, *, seconds=SECONDS, accuracies=ACCURACIES, machine=MACHINE):
    """The records of two backends; ratios of times scatter by some 2 %."""
    random = np.random.default_rng(0)
    for name, reached in accuracies.items():
        for backend, per_epoch in seconds.items():
            for number in range(ROUNDS.get(name, 1)):
                times = per_epoch * random.normal(1, 0.01, 2)
                yield _record(name, backend, number, times, reached, data, machine)
    for size, lasts in {1: (0.88, 0.91), 4000: (0.2, 0.3)}.items():
        yield _record("softmax", "jax", 0, (1.0, 1.0), lasts, data, machine, batch_size=size)


def _record(name, backend, number, times, reached, data, machine, **job):
    gap = 0.001 if name.endswith("dropout") else 0.04
    size = job.get("batch_size", 128)
    made = make_record(
        f"{name}.{backend}.r{number}.b{size}",
        times=tuple(map(float, times)),
        accuracies=reached,
        workload=name,
        backend=backend,
        round=number,
        **{"batch_size": size, **job},
    )
    epochs = tuple(
        replace(
            epoch,
            test_loss=2 * (1 - epoch.test_accuracy),
            train_accuracy=min(epoch.test_accuracy + gap, 1.0),
        )
        for epoch in made.epochs
    )
    startup = replace(made.startup, train_evaluated=4000)
    return replace(
        made,
        startup=startup,
        epochs=epochs,
        machine=machine,
        data=data,
        verification=PASSED,
        versions={"numpy": "2"},
    )


def write_run(folder: Path, data_set: DataSet, *, learned=True, **changes) -> Path:
    """Write the made-up run into a folder, with predictions of mnist-5k; returns the folder."""
    data = data_of(data_set)
    for record in made_records(data, **changes):
        write(folder / "jobs", record)
        if learned and record.job.round == 0:
            _learn(folder, record, data_set)
    return folder


def _learn(folder, record, data_set):
    """Predictions that are right but for a few images, and the initial weights."""
    labels = np.load(f"{data_set.folder}/test_labels.npy")
    offset = 0 if record.job.backend == "pytorch" else 10
    guessed = labels.copy()
    for index in range(offset, 990, 35):
        guessed[index] = (labels[index] + 1 + index % 3) % 10
    guessed[[5, 105]] = 6  # wrong in every backend
    logits = np.eye(10, dtype=np.float32)[guessed]
    weights = initial_weights(record.job.workload, 0)
    keep_learned(path_of(folder, record.key), logits, weights)


def images_in_tests(data_set: DataSet):
    """A function as `bench.overview.material.images_in` returns."""
    images, labels = (np.load(f"{data_set.folder}/test_{p}.npy") for p in ("images", "labels"))
    return lambda record: Images(images, labels)


def deck_of(folder: Path, data_set: DataSet) -> Deck:
    """The deck of a run whose data set is mnist-5k."""
    results = Results(Run.read(folder))
    return make_deck(Material(results, read_facts(), images_in_tests(data_set)))


def main(folder: Path) -> None:
    """Write the golden files; the made-up run lies in the folder."""
    places = Places(directory=None, cache=folder / "cache")
    data_set = materialise("mnist-5k", find_workload("softmax").input, places)
    deck = deck_of(write_run(folder / "course", data_set), data_set)
    GOLDEN.mkdir(parents=True, exist_ok=True)
    for form in ("markdown", "beamer"):
        written = write_overview(deck, form, folder / form)
        (GOLDEN / written.document.name).write_bytes(written.document.read_bytes())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
