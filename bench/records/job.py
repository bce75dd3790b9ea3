"""The record of one job: a file, written whole or not at all.

Only records of the format `FORMAT` are read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, NamedTuple, Protocol

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from backends.contract import DeviceMemory, Job, Mode
from bench.machine.disturbance import Disturbance
from bench.machine.host import Machine
from bench.records.files import RunError, read_bytes, write_atomically
from bench.records.key import Key
from bench.worker.clock import Phase
from bench.worker.lines import Epoch, Startup, Status
from specs.model import Workload

FORMAT = 5


class DataUsed(Struct, frozen=True, kw_only=True, gc=False):
    """The data set of a record; records with different checksums are never compared."""

    name: str
    checksum: str
    train_examples: int
    test_examples: int


class Record(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Everything about one job, however it ended.

    Attributes:
        reason: one line that says why the status is not "ok"; else "".
        details: a traceback, or the last lines of the log.
        versions: installed package -> version, of the worker's environment, and "python".
        adapter_checksum: checksum of the adapter's code and of all our code that it imports; "" if
            it was not taken.
        started: the time in UTC, see `bench.worker.clock.utc`.
        wall_seconds, cpu_seconds: times of the whole worker process, from its start to its end.
        load_average: how many processes ran or waited in the minute before the job's end; None if
            the system does not count it.
        disturbance: what else the machine did during the job.
        inputs: in native mode, an epoch of the input pipeline alone, after the training; else None.
        device_memory: from the framework's allocator; see `DeviceMemory`.
        device_peak_bytes: the highest sample of the driver's figure; None if there is none.
        device_peak_by: what that figure counts, see `bench.machine.device.DevicePeak`.
    """

    format: int
    key: Key
    status: Status
    reason: str
    details: str
    job: Job
    data: DataUsed
    machine: Machine
    versions: dict[str, str]
    adapter_checksum: str
    started: str
    wall_seconds: float
    cpu_seconds: float | None
    load_average: float | None
    disturbance: Disturbance
    startup: Startup | None
    epochs: tuple[Epoch, ...]
    inputs: Phase | None
    device_memory: DeviceMemory | None
    device_peak_bytes: int | None
    device_peak_by: Literal["process", "device"] | None


class _HasBackend(Protocol):
    @property
    def backend(self) -> str: ...
    @property
    def mode(self) -> Mode: ...


def backend_name(job: _HasBackend) -> str:
    """The name of a backend in tables; it includes any mode but "matched"."""
    return job.backend if job.mode == "matched" else native_name(job.backend)


def native_name(backend: str) -> str:
    """The name of a backend of native mode in tables."""
    return f"{backend}, native"


def meaning(workload: Workload) -> Workload:
    """A workload without what does not affect training: title, references and target accuracy."""
    return replace(
        workload, title="", references=(), recipe=replace(workload.recipe, target_accuracy=None)
    )


class Group(NamedTuple):
    """What jobs have in common that are compared with each other; see `group_of`."""

    workload: Workload
    data_checksum: str
    machine: str
    device: str
    threads: int
    precision: str
    batch_size: int
    epochs: int


def group_of(job: Job, data_checksum: str, machine: str) -> Group:
    """The group of a job: jobs are compared only within one.

    Args:
        job: the job.
        data_checksum: of its data set.
        machine: the name of its machine.
    """
    return Group(
        workload=meaning(job.workload),
        data_checksum=data_checksum,
        machine=machine,
        device=job.device,
        threads=job.threads,
        precision=job.precision,
        batch_size=job.batch_size,
        epochs=job.epochs,
    )


def write_record(folder: Path, record: Record) -> None:
    """Write `folder/KEY.json`, whole or not at all.

    Raises:
        RunError: the folder cannot be written.
    """
    write_atomically(
        folder / f"{record.key}.json", msgspec.json.format(msgspec.json.encode(record), indent=1)
    )


def _decode(content: bytes) -> Record:
    return msgspec.json.decode(content, type=Record)


def read_record(path: Path | str, decode: Callable[[bytes], Record] = _decode) -> Record | None:
    """The record in a file, see `checked`; None if the file is damaged, for example cut off.

    Args:
        path: the file.
        decode: returns the record in a file's content.

    Raises:
        RunError: the record was written by another version of this program, or the file cannot be
            opened.
    """
    try:
        content = read_bytes(path)
    except OSError as error:
        raise RunError(
            f"{path}: cannot be read: {error.strerror}", expected="a readable record"
        ) from error
    try:
        record = checked(decode(content))
    except (msgspec.DecodeError, UnicodeDecodeError):
        record = None
    found = _format_of(content) if record is None else record.format
    if found is not None and found != FORMAT:
        age, cure = (
            ("a newer", "update this one, or") if found > FORMAT else ("an older", "for a new run")
        )
        raise RunError(
            f"{path}: format {found}",
            expected=f"format {FORMAT}",
            hint=f"it was written by {age} version of framework-bench: {cure} use another --run",
        )
    return record


def checked(record: Record) -> Record:
    """The record; it is changed to a failed one if its epochs are not 1 to n, each once.

    If the job ended ok, n is the job's number of epochs.
    """
    numbers = [epoch.number for epoch in record.epochs]
    last = record.job.epochs if record.status == "ok" else len(numbers)
    if record.status == "failed" or numbers == list(range(1, last + 1)):
        return record
    found = (
        f"{len(numbers)} epochs were told, {len(set(numbers))} different ones;"
        f" expected 1 to {last}, each once"
    )
    return replace(
        record, status="failed", reason=f"{found}; {record.reason}" if record.reason else found
    )


class _Format(Struct):
    format: int


def _format_of(content: bytes) -> int | None:
    try:
        return msgspec.json.decode(content, type=_Format).format
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
