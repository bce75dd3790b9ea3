"""Trainings that bands are made of: what is kept of a record, and the file that holds them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from msgspec import Struct

from bench.records.job import Record, without_labels
from bench.statistics.judgement import own_doubt
from specs.errors import SpecError
from specs.model import Workload
from tests.support.jobs import named

FILE = Path(__file__).parent / "trainings.json"
_DIGITS = 8


class Training(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The losses and accuracies of one job in matched mode that ended ok.

    Attributes:
        workload, dataset, backend: their names.
        checksum: of the workload, see `checksum_of`.
        train_examples, test_examples: the sizes of the data set.
        seed: of weights, batches and dropout masks.
        losses: the running loss of each epoch.
        accuracies: the test accuracy after each epoch (0..1).
    """

    workload: str
    checksum: str
    dataset: str
    train_examples: int
    test_examples: int
    backend: str
    seed: int
    losses: tuple[float, ...]
    accuracies: tuple[float, ...]


def checksum_of(workload: Workload) -> str:
    """The checksum of all of a workload that affects training."""
    content = msgspec.json.encode(without_labels(workload), order="deterministic")
    return hashlib.sha256(content).hexdigest()[:_DIGITS]


def trainings_of(records: Iterable[Record]) -> Iterator[Training]:
    """The trainings that may make bands.

    They ended ok, with a packaged workload, its own batch size, one of MNIST's data sets, in
    matched mode; and their own verification, if there is one, did not call them wrong.
    """
    for record in records:
        job = record.job
        if (
            record.status == "ok"
            and job.mode == "matched"
            and job.batch_size == job.workload.recipe.batch_size
            and record.data.name.startswith("mnist")
            and _is_packaged(job.workload)
            and own_doubt(record.verification, job.device)[0] != "wrong"
        ):
            yield _training(record)


def read_trainings() -> list[Training]:
    """The trainings that are kept."""
    return msgspec.json.decode(FILE.read_bytes(), type=list[Training])


def keep_trainings(trainings: Iterable[Training]) -> list[Training]:
    """Add trainings to the kept ones, each once, and return all."""
    kept = read_trainings() if FILE.exists() else []
    ordered = sorted({*kept, *trainings}, key=msgspec.structs.astuple)
    lines = [msgspec.json.encode(training).decode() for training in ordered]
    FILE.write_text("[\n" + ",\n".join(lines) + "\n]\n")
    return ordered


def _training(record: Record) -> Training:
    return Training(
        workload=record.job.workload.name,
        checksum=checksum_of(record.job.workload),
        dataset=record.data.name,
        train_examples=record.data.train_examples,
        test_examples=record.data.test_examples,
        backend=record.job.backend,
        seed=record.job.seed,
        losses=tuple(float(f"{epoch.running_loss:.4g}") for epoch in record.epochs),
        accuracies=tuple(round(epoch.test_accuracy, 4) for epoch in record.epochs),
    )


def _is_packaged(workload: Workload) -> bool:
    try:
        return without_labels(named(workload.name)) == without_labels(workload)
    except SpecError:
        return False
