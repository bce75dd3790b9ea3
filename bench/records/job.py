"""The record of one job: a file, written whole or not at all.

Only records of the format `FORMAT` are read.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal, Protocol

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
    """The data set of a record: nothing is ever compared across different checksums."""

    name: str
    checksum: str
    train_examples: int
    test_examples: int


class Record(Struct, frozen=True, kw_only=True, gc=False, forbid_unknown_fields=True):
    """Everything about one job, however it ended.

    Attributes:
        reason: one line that says why, unless the status is ok; `details` a traceback or the log's
            last lines.
        versions: installed package -> version, of the worker's environment, and "python".
        adapter_checksum: of the adapter's text and all of ours that it imports; "" where it was not
            taken.
        wall_seconds, cpu_seconds: of the whole worker process, from its start to its end.
        load_average: of one minute, as the system counts it when the job has ended; None where it
            does not.
        disturbance: what else the machine did meanwhile.
        inputs: of native mode, an epoch of the input pipeline alone, after the training; else None.
        device_memory: by the framework's allocator; see `DeviceMemory`.
        device_peak_bytes: the driver's figure, its highest sample; None where there is none.
        device_peak_by: what that figure is of, see `device.DevicePeak`.
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


def contestant(job: _HasBackend) -> str:
    """Who trained a job, or was proven, as tables name it: the backend, and its mode if that is not the usual one."""
    return job.backend if job.mode == "matched" else native_name(job.backend)


def native_name(backend: str) -> str:
    """How tables name a backend in native mode."""
    return f"{backend}, native"


def meaning(workload: Workload) -> Workload:
    """A workload without what changes nothing in its training: its words, its published figures, its target."""
    return replace(
        workload, title="", references=(), recipe=replace(workload.recipe, target_accuracy=None)
    )


def write_record(folder: Path, record: Record) -> None:
    """Write `folder/KEY.json`: under another name first, then renamed, so that no reader ever sees half of it.

    Raises:
        RunError: the folder cannot be written.
    """
    write_atomically(
        folder / f"{record.key}.json", msgspec.json.format(msgspec.json.encode(record), indent=1)
    )


def _decode(content: bytes) -> Record:
    return msgspec.json.decode(content, type=Record)


def read_record(path: Path | str, decode: Callable[[bytes], Record] = _decode) -> Record | None:
    """The record in a file, see `checked`; None where the file is damaged: half-written by another program, or cut off.

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
    """The record; as one that failed, where its epochs are not 1 to n, each once (n: the job's, if it ended ok)."""
    numbers = [epoch.number for epoch in record.epochs]
    last = record.job.epochs if record.status == "ok" else len(numbers)
    if record.status == "failed" or numbers == list(range(1, last + 1)):
        return record
    found = f"{len(numbers)} epochs were told, {len(set(numbers))} different ones; expected 1 to {last}, each once"
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
