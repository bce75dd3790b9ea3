"""Writes the trained models of a run as files for other programs, and checks them."""

from __future__ import annotations

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from msgspec import Struct
from msgspec.structs import replace

from backends.contract import Unsupported
from backends.exports.contract import Writer
from backends.exports.formats import ENVIRONMENT, FORMATS, READER
from backends.family import Entry
from bench.data.cache import materialise
from bench.data.dataset import Places
from bench.machine.host import Machine
from bench.machine.temporary import TemporaryFolder
from bench.records.files import write_atomically
from bench.records.job import Record
from bench.records.stored import LeftOut
from bench.records.weights import path_of, read_weights
from bench.runner.environments import Environments
from bench.runner.process import Worker
from bench.runner.task import Task
from bench.worker.assignment import ReadExported
from bench.worker.lines import Compared

_TIMEOUT_SECONDS = 600.0  # the reference and the reader predict for seconds
_WRONG = ".wrong"  # is added to a file's name if OpenCV's predictions are wrong


class Exported(Struct, frozen=True, kw_only=True):
    """A model in a format.

    Attributes:
        record: the record of the job that trained it.
        form: the name of the format.
        weights: the file with the weights from which it was written.
        files: the written files.
        found: how far its predictions are from the reference; None if they were not compared.
        problem: why there is no comparison although the reader is installed; "" otherwise.
    """

    record: Record
    form: str
    weights: Path
    files: tuple[Path, ...]
    found: Compared | None = None
    problem: str = ""

    @property
    def passed(self) -> bool | None:
        """Whether the predictions agree with the reference; None if the reader is missing."""
        if self.found is None:
            return False if self.problem else None
        return self.found.passed


def write_models(
    run: Path, records: Sequence[Record], forms: Sequence[str], folder: Path
) -> tuple[list[Exported], list[str]]:
    """Write the models whose weights were kept.

    Args:
        run: the folder of the run.
        records: the records of the jobs whose models are written.
        forms: names of formats.
        folder: for the files.

    Returns:
        The written models, and a sentence for each model that could not be written.

    Raises:
        RunError: the folder cannot be written.
    """
    written, refused = [], []
    for record in records:
        weights = read_weights(run, record)
        if isinstance(weights, LeftOut):
            refused.append(str(weights))
        if weights is None or isinstance(weights, LeftOut):
            continue
        for form in forms:
            try:
                contents = _writer_of(form)(record.job.workload, weights)
            except Unsupported as reason:
                refused.append(f"{record.key} is not written as {form}: {reason}")
                continue
            files = tuple(folder / f"{record.key}{end}" for end in FORMATS[form].endings)
            for file, content in zip(files, contents, strict=True):
                write_atomically(file, content)
                _wrong(file).unlink(missing_ok=True)
            source = path_of(run, record.key)
            written.append(Exported(record=record, form=form, weights=source, files=files))
    return written, refused


def check_models(
    models: Sequence[Exported],
    environments: Environments,
    machine: Machine,
    places: Places,
) -> Iterator[Exported]:
    """Yield each model, with the deviation of its reader's predictions from the reference.

    If a model's predictions differ from the reference, its files are renamed. If the reader is not
    installed, nothing is checked.

    Args:
        models: the written models.
        environments: the environments, including the reader's.
        machine: this machine.
        places: where data sets may be.

    Raises:
        DataError: a data set is not available.
        RunError: the interpreter cannot be started.
    """
    python = environments.python(ENVIRONMENT)
    for model in models:
        if python is None:
            yield model
            continue
        job = model.record.job
        data = materialise(job.dataset, job.workload.input, places)
        checked = _checked(model, _task(model, str(python), data.folder), machine)
        if not checked.passed:
            files = tuple(file.rename(_wrong(file)) for file in checked.files)
            checked = replace(checked, files=files)
        yield checked


def _writer_of(form: str) -> Writer:
    module, _, function = FORMATS[form].writer.partition(":")
    writer: Writer = getattr(importlib.import_module(module), function)
    return writer


def _wrong(file: Path) -> Path:
    return file.with_name(f"{file.name}{_WRONG}")


def _task(model: Exported, python: str, data: str) -> Task:
    """The task of reading a model; its job is the one that trained it, but on the CPU."""
    job = replace(model.record.job, device="cpu", threads=1)
    return Task(
        job=job,
        key=f"{model.record.key}.{model.form}",
        entry=Entry(title="OpenCV", adapter=READER, environment=ENVIRONMENT, needs=()),
        python=python,
        versions={},
        adapter_checksum="",
        assignment=ReadExported(
            job=job,
            adapter=READER,
            files=tuple(str(file.absolute()) for file in model.files),
            weights=str(model.weights.absolute()),
            data=data,
        ),
    )


def _checked(model: Exported, task: Task, machine: Machine) -> Exported:
    with (
        TemporaryFolder() as folder,  # for the worker's own files
        Worker(task, folder, machine) as worker,
    ):
        result = worker.result(_TIMEOUT_SECONDS, lambda _: None)
    compared = result.first(Compared)
    if result.end.status != "ok" or compared is None:
        return replace(model, problem=result.end.reason or "it reported no comparison")
    return replace(model, found=compared)
