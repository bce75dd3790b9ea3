"""Makes a frame with a row per epoch from a run's records; `columns` lists its columns."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from operator import attrgetter
from pathlib import Path
from typing import Any

import pandas as pd

from bench.records.files import RunError
from bench.records.job import Record
from bench.records.run import read_run
from bench.records.stored import LeftOut
from bench.report.frame.columns import CATEGORIES, EPOCH, EPOCHS, JOB, WORKLOAD
from bench.report.frame.disturbed import counted
from bench.report.frame.places import label
from bench.report.frame.values import device_name
from bench.statistics.judgement import NOT_JUDGED, judgements
from bench.statistics.steady import warm_ups


def records_of(folder: Path, known: Iterable[Record] = ()) -> tuple[list[Record], list[LeftOut]]:
    """The newest record of every job of a run, and the files that are left out.

    Args:
        folder: the run's folder.
        known: records that need not be read again.

    Raises:
        RunError: there is no run or no record in the folder.
    """
    records, left_out = read_run(folder, known)
    if not records and left_out:
        raise RunError(
            f"{folder}: none of its records can be read",
            expected="at least one record in jobs/",
            hint=f"bench run makes them again. {left_out[0]}",
        )
    if not records:
        raise RunError(f"{folder}: no job has ended yet", expected="at least one record in jobs/")
    return newest(records), left_out


def newest(records: Iterable[Record]) -> list[Record]:
    """The newest record of every job, data set, machine, and model of the device.

    There are several records if versions or the adapter changed. The model of the device counts
    because nodes (for example containers) may have the same name, and different GPUs "cuda:0".
    """
    latest: dict[tuple[Any, ...], Record] = {}
    for record in sorted(records, key=lambda r: r.started):
        device = (record.machine.name, device_name(record))
        latest[record.job, record.data.checksum, device] = record
    return list(latest.values())


def epochs_frame(records: Iterable[Record]) -> pd.DataFrame:
    """A frame with a row per epoch, in which the columns of its job are repeated.

    A job without an epoch has one row, with a missing epoch. If a result must not be ranked, the
    status of its job is the doubt, and the reason says why.
    """
    # Records were read in the order of their keys; memory access is faster in this order.
    ordered = sorted(records, key=attrgetter("key"))
    jobs = _jobs(ordered)
    epochs = [epoch for record in ordered for epoch in record.epochs]
    frame = pd.DataFrame(
        {column.name: list(map(column.getter(), epochs)) for column in EPOCH if column.source},
        index=jobs.index.repeat([len(record.epochs) for record in ordered]),
    )
    frame = jobs.join(frame).reset_index(drop=True)
    # Without a counter, epochs have no separate reason.
    no_counter = frame.pop("no_counter")
    frame["no_energy"] = frame["no_energy"].where(frame["no_energy"] != "", no_counter)
    frame["steady"] = frame["counts"] & (frame["epoch"] > frame["warm_up_epochs"])
    measured = {column.name: float for column in EPOCHS if column.is_measured}
    frame = frame[[column.name for column in EPOCHS]].astype(measured)
    return frame.sort_values(["started", "key"], kind="stable", ignore_index=True)


def _jobs(ordered: Sequence[Record]) -> pd.DataFrame:
    """A row per record: the columns of jobs, and `no_counter`, the reason for no energy counter."""
    values = {
        column.name: list(map(column.getter(), ordered))
        for column in JOB
        if column.source and column not in WORKLOAD
    }
    jobs = pd.DataFrame({**values, **_of_workloads(ordered), **_of_phases(ordered)})
    judged, early = judgements(ordered), warm_ups(ordered)
    judgements_of_jobs = [judged.get(record.key, NOT_JUDGED) for record in ordered]
    jobs["agrees"] = [judgement.agrees for judgement in judgements_of_jobs]
    jobs["doubt"] = [f"{j.doubt}: {j.reason}" if j.doubt else "" for j in judgements_of_jobs]
    jobs["status"] = [
        record.status if j.counts else j.doubt
        for record, j in zip(ordered, judgements_of_jobs, strict=True)
    ]
    jobs["reason"] = [
        record.reason if j.counts else j.reason
        for record, j in zip(ordered, judgements_of_jobs, strict=True)
    ]
    jobs["warm_up_epochs"] = [early[record.key] for record in ordered]
    jobs["no_counter"] = [r.startup.energy.reason if r.startup else "" for r in ordered]
    jobs["counts"] = counted(jobs)
    jobs["label"] = label(jobs)
    return jobs.astype(dict.fromkeys(CATEGORIES, "category"))


def _of_phases(ordered: Sequence[Record]) -> dict[str, list[Any]]:
    """The columns of each phase of the records' start-up."""
    by_name = [{p.name: p for p in r.startup.phases} if r.startup else {} for r in ordered]
    return {
        f"{name}_{field}": [getattr(phases.get(name), field, None) for phases in by_name]
        for name in ("import", "build", "load")
        for field in ("wall_seconds", "cpu_seconds", "peak_rss_bytes")
    }


def _of_workloads(ordered: Sequence[Record]) -> dict[str, list[Any]]:
    """The columns of each record's workload; they are computed once per workload."""
    workloads = list(dict.fromkeys(record.job.workload for record in ordered))
    indices = {workload: index for index, workload in enumerate(workloads)}
    index_of_each = [indices[record.job.workload] for record in ordered]
    columns = {}
    for column in WORKLOAD:
        values = list(map(column.getter(), workloads))
        columns[column.name] = [values[index] for index in index_of_each]
    return columns
