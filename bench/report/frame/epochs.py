"""Makes one frame of a run's records, a row per epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from operator import attrgetter
from pathlib import Path
from typing import Any

import msgspec
import pandas as pd

from bench.machine import disturbance
from bench.machine.host import gpu_of
from bench.records.files import RunError
from bench.records.job import Record, backend_name, meaning
from bench.records.run import read_run
from bench.records.stored import LeftOut
from bench.report.frame.agreement import DISAGREES
from bench.report.frame.disturbed import counted
from bench.statistics.agreement import agreement
from bench.statistics.steady import warm_ups
from bench.worker.lines import Epoch
from specs.model import Workload
from specs.shapes import infer_shapes
from specs.width import narrowed

# Two contestants are compared only if all of these are equal; so nothing compares across data sets
# or machines.
GROUP = [
    "dataset",
    "data_checksum",
    "machine",
    "device",
    "threads",
    "workload",
    "spec",
    "epochs",
    "batch_size",
]
_MEASURED = ("wall_seconds", "cpu_seconds", "peak_rss_bytes")
_ENERGY = ("energy_joules", "host_energy_joules")
_STARTUP = [f"{name}_{what}" for name in ("import", "build", "load") for what in _MEASURED]
# Records that are equal in these are of one kind. A run has few kinds: their columns are made once
# and repeated.
_kind = attrgetter(
    *("data", "machine", "job.workload", "job.backend", "job.mode"),
    *("job.device", "job.threads", "job.epochs", "job.batch_size"),
)
# Columns that are copied from a record, or from an epoch: the column, and where its value is.
_JOB = {
    "seed": "job.seed",
    "round": "job.round",
    "key": "key",
    "status": "status",
    "reason": "reason",
    "started": "started",
    "job_wall_seconds": "wall_seconds",
    "device_peak_bytes": "device_peak_bytes",
    "device_peak_by": "device_peak_by",
    "load_average": "load_average",
}
_EPOCH = {
    "epoch": "number",
    **{
        name: name
        for name in ("running_loss", "train_loss", "train_accuracy", "test_loss", "test_accuracy")
    },
    **{f"train_{what}": f"training.{what}" for what in (*_MEASURED, *_ENERGY)},
    **{f"predict_{what}": f"prediction.{what}" for what in _MEASURED},
}
_of_job, _of_epoch, _of_phase = (
    attrgetter(*paths) for paths in (_JOB.values(), _EPOCH.values(), _MEASURED)
)
_NO_PHASE = (None,) * len(_MEASURED)
_JOB_COLUMNS = [
    *_JOB,
    *("agrees", "disagreement", "warm_up_epochs"),
    *("disturbed", "allocator_peak_bytes", "allocator_began_anew", "inputs_wall_seconds"),
    *("energy_by", "compiled", "optimizer"),
    *_STARTUP,
]
_EPOCH_COLUMNS = [*_EPOCH, "no_energy"]
_NUMBERS = [
    *("running_loss", "train_loss", "train_accuracy", "test_loss", "test_accuracy"),
    *("target_accuracy", "course_accuracy", "allocator_peak_bytes", "device_peak_bytes"),
    *("load_average", "inputs_wall_seconds"),
    *_STARTUP,
    *(f"{phase}_{what}" for phase in ("train", "predict") for what in _MEASURED),
    *(f"train_{what}" for what in _ENERGY),
]
GROUP_AND_BACKEND = [*GROUP, "backend"]
# Columns with few different values in a run. As categories they are grouped, selected and written
# at a fraction of the cost.
_NAMES = [
    "dataset",
    "data_checksum",
    "machine",
    "device",
    "device_name",
    "workload",
    "spec",
    "backend",
    "mode",
    "loss",
]
_JOB_NAMES = ["status", "reason", "disagreement"]


def newest(records: Iterable[Record]) -> list[Record]:
    """The newest record of every job, data set and machine.

    There are several where versions or the adapter changed in between.
    """
    latest: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=lambda r: r.started):
        latest[record.job, record.data.checksum, record.machine.name] = record
    return list(latest.values())


def epochs_frame(records: Iterable[Record]) -> pd.DataFrame:
    """A frame with a row per epoch, in which the columns of its job are repeated.

    A job without an epoch has one row, with a missing epoch. `disturbed` says what disturbed a job,
    "" if nothing did; `counts` says whether the times of its repetition count. `agrees` is None
    where no other backend ran; a job that does not agree has the status "disagrees", and its reason
    says why. `steady`: the epoch counts for speed, see `bench.statistics.steady`.
    """
    ordered = sorted(records, key=attrgetter("started", "key"))
    if not ordered:
        return pd.DataFrame()
    first: dict[tuple[Any, ...], int] = {}
    firsts = [first.setdefault(_kind(record), place) for place, record in enumerate(ordered)]
    kinds = pd.DataFrame(
        [_alike(ordered[place]) for place in first.values()], index=list(first.values())
    )
    found, early = agreement(ordered), warm_ups(ordered)
    jobs = pd.DataFrame(
        (_job(record, found.get(record.key), early[record.key]) for record in ordered),
        columns=_JOB_COLUMNS,
    )
    wrong = jobs["disagreement"] != ""
    jobs.loc[wrong, "status"], jobs.loc[wrong, "reason"] = DISAGREES, jobs["disagreement"]
    epochs = pd.DataFrame(
        (
            (*_of_epoch(epoch), _no_energy(record, epoch))
            for record in ordered
            for epoch in record.epochs
        ),
        columns=_EPOCH_COLUMNS,
        index=jobs.index.repeat([len(record.epochs) for record in ordered]),
    )
    alike = kinds.astype(dict.fromkeys(_NAMES, "category")).loc[firsts].reset_index(drop=True)
    frame = (
        alike.join(jobs.astype(dict.fromkeys(_JOB_NAMES, "category")))
        .join(epochs)
        .reset_index(drop=True)
    )
    frame = frame.astype(dict.fromkeys(_NUMBERS, float))  # also where no job has any
    frame["counts"] = counted(frame, GROUP)
    frame["steady"] = frame["counts"] & (frame["epoch"] > frame["warm_up_epochs"])
    return frame


def _alike(record: Record) -> dict[str, Any]:
    """The columns that are the same in all records of a kind."""
    job, data, workload = record.job, record.data, record.job.workload
    (family, width), shapes = narrowed(workload), infer_shapes(workload)
    dropped = workload.recipe.last_partial_batch == "drop"
    return {
        "dataset": data.name,
        "data_checksum": data.checksum,
        "machine": record.machine.name,
        "device": job.device,
        "device_name": _device_name(record),
        "threads": job.threads,
        "workload": workload.name,
        "spec": _spec(workload),
        "family": family.name,
        "family_spec": _spec(family),
        "width": width,
        "parameters": sum(shape.parameter_count for shape in shapes),
        "training_flops": sum(shape.training_flops for shape in shapes),
        "backend": backend_name(job),
        "mode": job.mode,
        "epochs": job.epochs,
        "batch_size": job.batch_size,
        "loss": workload.loss,
        "course_accuracy": _course_accuracy(record),
        "target_accuracy": workload.recipe.target_accuracy,
        "train_examples": data.train_examples
        - (data.train_examples % job.batch_size if dropped else 0),
        "test_examples": data.test_examples,
    }


def _job(record: Record, disagreement: str | None, warm_up: int) -> tuple[Any, ...]:
    """A job's own columns, see `_JOB_COLUMNS`."""
    startup, memory = record.startup, record.device_memory
    settings = startup.settings if startup else {}
    phases = {phase.name: _of_phase(phase) for phase in startup.phases} if startup else {}
    return (
        *_of_job(record),
        None if disagreement is None else not disagreement,
        disagreement or "",
        warm_up,
        disturbance.say(record.disturbance),
        memory.allocator_peak_bytes if memory else None,
        memory.began_anew if memory else None,
        record.inputs.wall_seconds if record.inputs else None,
        startup.energy.name if startup else "",
        settings.get("compiled"),
        settings.get("optimizer"),
        *phases.get("import", _NO_PHASE),
        *phases.get("build", _NO_PHASE),
        *phases.get("load", _NO_PHASE),
    )


def _no_energy(record: Record, epoch: Epoch) -> str:
    """Why an epoch's energy is not known; "" if it is."""
    return epoch.training.no_energy or (record.startup.energy.reason if record.startup else "")


def _spec(workload: Workload) -> str:
    """Six hexadecimal digits of a hash of all that decides a workload's training.

    They tell two workloads of one name apart.
    """
    return hashlib.sha256(msgspec.json.encode(meaning(workload), order="sorted")).hexdigest()[:6]


def _device_name(record: Record) -> str:
    gpu = gpu_of(record.machine, record.job.device)
    return gpu.name if gpu else record.machine.cpu


def _course_accuracy(record: Record) -> float | None:
    """The published accuracy (0..1), or None if the job was not the published training.

    It was if data set, epochs and batch size are the workload's own.
    """
    recipe, job = record.job.workload.recipe, record.job
    published = recipe.dataset, recipe.epochs, recipe.batch_size
    whole = published == (record.data.name, job.epochs, job.batch_size)
    return next((r.accuracy for r in job.workload.references), None) if whole else None


def records_of(folder: Path, known: Iterable[Record] = ()) -> tuple[list[Record], list[LeftOut]]:
    """The newest record of every job of a run, and the files that are left out.

    `known`: records that need not be read again.

    Raises:
        RunError: there is no run or no record in the folder.
    """
    records, damaged = read_run(folder, known)
    if not records and damaged:
        raise RunError(
            f"{folder}: none of its records can be read",
            expected="at least one record in jobs/",
            hint=f"bench run makes them again. {damaged[0]}",
        )
    if not records:
        raise RunError(f"{folder}: no job has ended yet", expected="at least one record in jobs/")
    return newest(records), damaged
