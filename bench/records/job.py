"""The record of one job, and the names and groups by which jobs are compared."""

from __future__ import annotations

from functools import cache
from itertools import accumulate, takewhile
from typing import ClassVar, Literal, NamedTuple, Protocol, Self, get_args

from msgspec import Struct
from msgspec.structs import replace

from backends.contract import DeviceMemory, Job, Mode, Precision
from backends.registry import BACKENDS
from bench.machine.disturbance import Disturbance
from bench.machine.gpu_state import GpuState
from bench.records.stored import Outcome
from bench.worker.clock import Phase
from bench.worker.lines import Epoch, JobVerification, ShortEpochs, Startup
from specs.errors import SpecError
from specs.model import Workload
from specs.shapes import infer_shapes


class DataUsed(Struct, frozen=True, kw_only=True):
    """The data set of a record; records with different checksums are never compared."""

    name: str
    checksum: str
    train_examples: int
    test_examples: int


class SlurmTask(Struct, frozen=True, kw_only=True):
    """The task of Slurm that a job ran in.

    Attributes:
        job: its number in Slurm; "123_4" is task 4 of the array 123.
        attempt: 1 for the first start of the task; Slurm or a person may start it again.
        node: Slurm's name of the node.
        partition: the queue.
        gpus: the numbers of the GPUs that Slurm gave the task; "" for none.
        state: how Slurm ended the task before the job had a result, e.g. "NODE_FAIL"; then the job
            is run again when its run is resumed. "" if the job's own worker ended the job.
    """

    job: str
    attempt: int
    node: str
    partition: str
    gpus: str
    state: str = ""


class Record(Outcome, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Everything about one job, whatever its outcome.

    Attributes:
        cpu_seconds: of the whole worker process, from its start to its end.
        load_average: how many processes ran or waited in the minute before the job's end; None if
            the system does not count it.
        disturbance: what else the machine did during the job.
        inputs: in native mode, an epoch of the input pipeline without training; else None.
        weights_checksum: of the weights after the last epoch; None if not reported.
        verification: of the job's first steps; None in native mode, or if not reported.
        short_epochs: trained after the verification; None in native mode, or if not reported.
        device_memory: from the framework's allocator; see `DeviceMemory`.
        device_peak_bytes: the highest sample of the driver's figure; None if there is none.
        device_peak_by: what that figure counts, see `bench.machine.device.DevicePeak`.
        gpu: the state of the job's GPU, of the first one if it has several; None for other devices,
            and in records of earlier versions.
        slurm: the task of Slurm; None outside of Slurm, and in records of earlier versions.
    """

    FORMAT: ClassVar[int] = 5

    job: Job
    data: DataUsed
    cpu_seconds: float | None
    load_average: float | None
    disturbance: Disturbance
    startup: Startup | None
    epochs: tuple[Epoch, ...]
    inputs: Phase | None
    device_memory: DeviceMemory | None
    device_peak_bytes: int | None
    device_peak_by: Literal["process", "device"] | None
    weights_checksum: str | None = None
    verification: JobVerification | None = None
    gpu: GpuState | None = None
    short_epochs: ShortEpochs | None = None
    slurm: SlurmTask | None = None

    @property
    def ended_by_slurm(self) -> bool:
        """Whether the job has no result because Slurm ended its task."""
        return self.slurm is not None and self.slurm.state != ""

    @property
    def contradiction(self) -> str:
        """Why the workload's layers do not fit each other; "" if they do."""
        return _misfit(self.job.workload)

    def checked(self) -> Self:
        """The record, with the status "failed" if its epochs are not 1 to n, each once.

        If the job ended ok, n is the job's number of epochs. If one call trains several epochs,
        only the last of them is recorded. Records with equal workloads share one `Workload`.
        """
        record = replace(self, job=replace(self.job, workload=_shared(self.job.workload)))
        numbers = [epoch.number for epoch in self.epochs]
        ends = list(accumulate(epoch.epochs for epoch in self.epochs))
        last = self.job.epochs if self.status == "ok" else max(ends, default=0)
        if numbers == ends and (self.status == "failed" or max(ends, default=0) == last):
            return record
        problem = (
            f"{len(numbers)} epochs were told, {len(set(numbers))} different ones;"
            f" expected 1 to {last}, each once"
        )
        reason = f"{problem}; {self.reason}" if self.reason else problem
        in_order = takewhile(lambda pair: pair[0] == pair[1], zip(numbers, ends, strict=True))
        known = self.epochs[: len(list(in_order))]
        return replace(record, status="failed", reason=reason, epochs=known)


@cache
def _misfit(workload: Workload) -> str:
    try:
        infer_shapes(workload)
    except SpecError as error:
        return error.problem
    return ""


@cache
def _shared(workload: Workload) -> Workload:
    """The first workload that equals this one, so that 50,000 records share a few objects."""
    return workload


class _HasBackend(Protocol):
    @property
    def backend(self) -> str: ...
    @property
    def mode(self) -> Mode: ...
    @property
    def precision(self) -> Precision: ...


def backend_name(job: _HasBackend) -> str:
    """The name of a backend in tables.

    It includes any mode but "matched", any precision but "float32", and the year of a retired
    framework's last release: "chainer (2022)".
    """
    if job.mode != "matched":
        return in_precision(native_name(job.backend), job.precision)
    entry = BACKENDS.get(job.backend)
    name = f"{job.backend} ({entry.retired})" if entry and entry.retired else job.backend
    return in_precision(name, job.precision)


def native_name(backend: str) -> str:
    """The name of a backend of native mode in tables."""
    return f"{backend}, native"


def in_precision(name: str, precision: str) -> str:
    """A name in tables with its precision: "pytorch (bfloat16)"; float32 is not shown."""
    return name if precision == "float32" else f"{name} ({precision})"


def usual_name(name: str) -> str:
    """The name in tables without its precision: the name of the backend in float32."""
    for precision in get_args(Precision):
        name = name.removesuffix(f" ({precision})")
    return name


@cache
def without_labels(workload: Workload) -> Workload:
    """A workload without fields that do not affect training: title, references, target accuracy."""
    return replace(
        workload, title="", references=(), recipe=replace(workload.recipe, target_accuracy=None)
    )


class Group(NamedTuple):
    """The values that are equal for all jobs that are compared with each other; see `group_of`."""

    workload: Workload
    data_checksum: str
    machine: str
    device: str
    threads: int
    precision: str
    batch_size: int
    epochs: int


def group_of(job: Job, data_checksum: str, machine: str) -> Group:
    """The group of a job: jobs are compared only within a group.

    Args:
        job: the job.
        data_checksum: of its data set.
        machine: the name of its machine.
    """
    return Group(
        workload=without_labels(job.workload),
        data_checksum=data_checksum,
        machine=machine,
        device=job.device,
        threads=job.threads,
        precision=job.precision,
        batch_size=job.batch_size,
        epochs=job.epochs,
    )
