"""Records to one tidy frame, a row per epoch."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from typing import Any

import msgspec
import pandas as pd

from bench.record import Epoch, Record, contestant, disturbed, meaning
from bench.report.disturbed import counted
from bench.report.startup import warm_ups
from specs.model import Workload
from specs.scaling import narrowed
from specs.shapes import infer_shapes

# What must be equal for two contestants to be compared at all: nothing ever compares across data sets or machines.
CELL = ["dataset", "data_checksum", "machine", "device", "threads", "workload", "spec", "epochs", "batch_size"]
_MEASURED = ("wall_seconds", "cpu_seconds", "peak_rss_bytes")
_STARTUP = {f"{name}_{what}": (name, what) for name in ("import", "build", "load") for what in _MEASURED}
_NUMBERS = [
    *("running_loss", "train_loss", "train_accuracy", "test_loss", "test_accuracy", "target_accuracy"),
    *("course_accuracy", "allocator_peak_bytes", "device_peak_bytes", "load_average", "inputs_wall_seconds"),
    *_STARTUP,
    *(f"{phase}_{what}" for phase in ("train", "predict") for what in _MEASURED),
    *("train_energy_joules", "train_host_energy_joules"),
]
_OLDER = "the records are older than the reading of energy"
CONTESTANT = [*CELL, "backend"]
# Of these a run has few; kept once and numbered, they are grouped, chosen and written at a fraction of the cost.
_NAMES = [
    *("dataset", "data_checksum", "machine", "device", "device_name", "workload", "spec", "backend", "mode"),
    *("status", "reason", "loss"),
]


def newest(records: Iterable[Record]) -> list[Record]:
    """Of records of the same job, data and machine (other versions, or a changed adapter) only the newest."""
    latest: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=lambda r: r.started):
        latest[record.job, record.data.checksum, record.machine.name] = record
    return list(latest.values())


def epochs_frame(records: Iterable[Record]) -> pd.DataFrame:
    """A row per epoch, the job's columns repeated; a job without an epoch has one row, its epoch missing.

    `disturbed` says by what a job was, "" if by nothing; `counts` whether the times of its repetition count.
    """
    ordered = sorted(records, key=lambda record: (record.started, record.key))
    if not ordered:
        return pd.DataFrame()
    jobs = _table(_job(record) for record in ordered).astype(dict.fromkeys(_NAMES, "category"))
    epochs = _table(_epoch(record, epoch) for record in ordered for epoch in record.epochs)
    epochs.index = jobs.index.repeat([len(record.epochs) for record in ordered])
    frame = jobs.join(epochs).reset_index(drop=True)
    # What no job has is a column all the same, and of numbers.
    frame = frame.reindex(
        columns=[*frame.columns, *(name for name in ("epoch", "no_energy", *_NUMBERS) if name not in frame)]
    )
    frame = frame.astype(dict.fromkeys(_NUMBERS, float))
    frame["warm_up_epochs"], frame["counts"] = warm_ups(frame, CONTESTANT), counted(frame, CELL)
    return frame


def steady(group: pd.DataFrame) -> pd.DataFrame:
    """The epochs that count for speed: of repetitions that count, all after the contestant's warm-up, or the first."""
    ran = group.dropna(subset="epoch")
    ran = ran[ran["counts"]]
    later = ran[ran["epoch"] > ran["warm_up_epochs"]]
    return ran if later.empty else later


def steady_of_each(frame: pd.DataFrame, job: list[str]) -> pd.DataFrame:
    """The same of every job by itself; `job` are the columns that tell jobs apart."""
    ran = frame.dropna(subset="epoch")
    ran = ran[ran["counts"]]
    later = ran["epoch"] > ran["warm_up_epochs"]
    return ran[later | ~later.groupby([ran[name] for name in job]).transform("any")]


def _table(rows: Iterable[dict[str, Any]]) -> pd.DataFrame:
    """Rows of the same keys as a frame; each is let go for a tuple, as 100,000 dictionaries take 200 MB."""
    names, values = list[str](), list[tuple[Any, ...]]()
    for row in rows:
        names = names or list(row)
        values.append(tuple(row.values()))
    return pd.DataFrame(values, columns=names)


def _job(record: Record) -> dict[str, Any]:
    job = record.job
    examples = record.data.train_examples
    if job.workload.recipe.last_partial_batch == "drop":
        examples -= examples % job.batch_size
    phases = {phase.name: phase for phase in record.startup.phases} if record.startup else {}
    counter = record.startup.energy if record.startup else None
    return {
        "dataset": record.data.name,
        "data_checksum": record.data.checksum,
        "machine": record.machine.name,
        "device": job.device,
        "device_name": _device_name(record),
        "threads": job.threads,
        "workload": job.workload.name,
        "spec": _spec(job.workload),
        **_scale(job.workload),
        "backend": contestant(job),
        "mode": job.mode,
        "epochs": job.epochs,
        "batch_size": job.batch_size,
        "seed": job.seed,
        "round": job.round,
        "key": record.key,
        "status": record.status,
        "reason": record.reason,
        "started": record.started,
        "loss": job.workload.loss,
        "course_accuracy": _course_accuracy(record),
        "target_accuracy": job.workload.recipe.target_accuracy,
        "train_examples": examples,
        "test_examples": record.data.test_examples,
        "job_wall_seconds": record.wall_seconds,
        **{column: getattr(phases.get(name), what, None) for column, (name, what) in _STARTUP.items()},
        "allocator_peak_bytes": record.device_memory.allocator_peak_bytes if record.device_memory else None,
        "allocator_began_anew": record.device_memory.began_anew if record.device_memory else None,
        "device_peak_bytes": record.device_peak_bytes,
        "device_peak_by": record.device_peak_by,
        "energy_by": counter.name if counter else "",
        "load_average": record.load_after.load_average,
        "disturbed": disturbed(record),
        "inputs_wall_seconds": record.inputs.wall_seconds if record.inputs else None,
        "compiled": _setting(record, "compiled"),
        "optimizer": _setting(record, "optimizer"),
    }


def _epoch(record: Record, epoch: Epoch) -> dict[str, Any]:
    counter = record.startup.energy if record.startup else None
    return {
        "epoch": epoch.number,
        "running_loss": epoch.running_loss,
        "train_loss": epoch.train_loss,
        "train_accuracy": epoch.train_accuracy,
        "test_loss": epoch.test_loss,
        "test_accuracy": epoch.test_accuracy,
        "train_wall_seconds": epoch.training.wall_seconds,
        "train_cpu_seconds": epoch.training.cpu_seconds,
        "train_peak_rss_bytes": epoch.training.peak_rss_bytes,
        "train_energy_joules": epoch.training.energy_joules,
        "train_host_energy_joules": epoch.training.host_energy_joules,
        "no_energy": epoch.training.no_energy or (counter.reason if counter else _OLDER),
        "predict_wall_seconds": epoch.prediction.wall_seconds,
        "predict_cpu_seconds": epoch.prediction.cpu_seconds,
        "predict_peak_rss_bytes": epoch.prediction.peak_rss_bytes,
    }


@cache  # of a run's many records there are few workloads
def _spec(workload: Workload) -> str:
    """What tells two workloads of one name apart: a few digits of a hash of all that decides their training."""
    return hashlib.sha256(msgspec.json.encode(meaning(workload), order="sorted")).hexdigest()[:6]


@cache
def _scale(workload: Workload) -> dict[str, Any]:
    """What it was widened from, by name and spec, its width, and how large that makes it."""
    (family, width), shapes = narrowed(workload), infer_shapes(workload)
    return {
        "family": family.name,
        "family_spec": _spec(family),
        "width": width,
        "parameters": sum(shape.parameter_count for shape in shapes),
        "training_flops": sum(shape.training_flops for shape in shapes),
    }


def _setting(record: Record, name: str) -> object:
    return record.startup.settings.get(name) if record.startup else None


def _device_name(record: Record) -> str:
    gpu = next((g.name for g in record.machine.gpus if record.job.device == f"cuda:{g.index}"), None)
    return gpu or record.machine.cpu


def _course_accuracy(record: Record) -> float | None:
    """The published figure, where the training was the published one: its data set, epochs and batch size."""
    recipe, job = record.job.workload.recipe, record.job
    whole = (recipe.dataset, recipe.epochs, recipe.batch_size) == (record.data.name, job.epochs, job.batch_size)
    return next((r.accuracy for r in job.workload.references), None) if whole else None
