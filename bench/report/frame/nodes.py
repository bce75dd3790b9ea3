"""Makes a frame of a run's jobs with the node and the fleet of each job, and a node's sessions.

A node is a machine, or one GPU of it. A fleet is all nodes with the same processor and, for jobs on
GPUs, the same model of GPU.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from backends.contract import kind_of, nodes_of, ranks_of
from bench.machine.host import gpu_of
from bench.records.job import Record
from bench.report.form import words
from bench.report.frame.columns import GROUP

# Two nodes ran the same training if these are equal.
TRAINING = [
    *(name for name in GROUP if name not in ("machine", "device", "device_name")),
    "ranks",
    "backend",
]
_SESSION = ["training_name", "round", "seed"]


def nodes_frame(records: Sequence[Record], jobs: pd.DataFrame) -> pd.DataFrame:
    """The frame of jobs with the columns `fleet`, `node`, `ranks`, `training_name` and `training`.

    Args:
        records: the records of a run. Jobs on several nodes are left out, as their time belongs to
            no single node.
        jobs: see `jobs.jobs_frame`.
    """
    by_key = {record.key: record for record in records if nodes_of(record.job.device) == 1}
    jobs = jobs[jobs["key"].isin(by_key)]
    ordered = [by_key[str(key)] for key in jobs["key"]]
    jobs = jobs.assign(
        fleet=[_fleet(record) for record in ordered],
        ranks=[ranks_of(record.job.device) for record in ordered],
        board=[_board(record) for record in ordered],
    ).reset_index(drop=True)
    boards = jobs.groupby(["fleet", "machine"], observed=True)["board"].transform("nunique")
    machine, device = jobs["machine"].astype(str), jobs["device"].astype(str)
    # Under a scheduler every GPU may be called cuda:0.
    of_device = jobs.groupby(["fleet", "machine", "device"], observed=True)["board"]
    short = of_device.transform("nunique") == 1
    place = device.where(short, device + " " + jobs["board"].str[:12])
    jobs["node"] = machine.where(boards == 1, machine + " " + place)
    jobs["training_name"] = jobs["label"].astype(str)
    for name in ("dataset", "precision"):
        several = jobs.groupby(["fleet", "label"], observed=True)[name].transform("nunique") > 1
        jobs["training_name"] += (" " + jobs[name].astype(str)).where(several, "")
    jobs["training"] = jobs.groupby(TRAINING, observed=True, sort=False).ngroup()
    return jobs


def sessions_of(fleet: pd.DataFrame) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Workload -> node -> log(node's time / fleet's time), one value per session.

    A session is a workload in one round with one seed; its value is the median over backends. The
    fleet's time of a training is the median over nodes of each node's median over sessions. Jobs
    that did not end ok, and rounds in which the machine was busy, are left out.

    Args:
        fleet: the rows of one fleet, see `nodes_frame`.
    """
    timed = fleet[(fleet["status"] == "ok") & fleet["counts"] & (fleet["epoch_seconds"] > 0)]
    timed = timed[["node", "training", *_SESSION]].assign(log=np.log(timed["epoch_seconds"]))
    of_node = timed.groupby(["training", "node"])["log"].median()
    usual = of_node.groupby("training").median()
    timed["log"] -= timed["training"].map(usual)
    # A training on a single node compares nothing.
    timed = timed[timed["training"].map(of_node.groupby("training").size()) > 1]
    values = timed.groupby(["node", *_SESSION])["log"].median().reset_index()
    sessions: dict[str, dict[str, NDArray[np.float64]]] = {}
    for (workload, node), rows in values.groupby(["training_name", "node"], sort=False):
        sessions.setdefault(str(workload), {})[str(node)] = rows["log"].to_numpy(float)
    return sessions


def _fleet(record: Record) -> str:
    """The kind of a job's node, in words."""
    job, machine = record.job, record.machine
    gpu = gpu_of(machine, job.device)
    parts = [machine.cpu, words.threads(job.threads)]
    if gpu is not None:
        parts = [gpu.name, *parts]
    elif kind_of(job.device) != "cpu":
        parts = [kind_of(job.device), *parts]
    ranks = ranks_of(job.device)
    return ", ".join([*([f"{ranks} ranks"] if ranks > 1 else []), *parts])


def _board(record: Record) -> str:
    """The UUID of a job's GPU or slice, else the name of its device."""
    gpu = gpu_of(record.machine, record.job.device)
    return record.job.device if gpu is None else gpu.uuid
