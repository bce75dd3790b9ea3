"""Makes the section on energy: joules per epoch and to the target, and the counter used.

Where there is no figure, it says why.
"""

from __future__ import annotations

from math import isnan, nan
from typing import NamedTuple

import pandas as pd

from bench.report.form import words
from bench.report.form.document import Block, Heading, Items, Table, Text
from bench.report.frame.epochs import GROUP_AND_BACKEND
from bench.report.frame.places import labelled

_COLUMNS = (
    *("workload", "backend", "energy per epoch, median", "epochs counted"),
    *("mean power", "images per joule", "energy to target"),
)
_HOST = "CPUs beside it, per epoch"
_TEXT = (
    "Counted by {by}, between the two syncs of every epoch's training; start-up and evaluation are"
    " not in it. What the hardware takes when idle is in it, and so is whatever else ran on it"
    " meanwhile.{cpus} A figure stands only where every epoch that counts for speed has one: a"
    " choice among them would not be fair."
)
_CPUS = (
    " RAPL counts all processors of the machine, also those that the job did not use, and not its"
    " memory."
)


class _Used(NamedTuple):
    """One contestant's cells; `why_none` says why there are no figures, "" if there are."""

    workload: str
    backend: str
    joules: float
    epochs: str
    watts: float
    images_per_joule: float
    to_target: str
    host_joules: float
    why_none: str


def energy_blocks(frame: pd.DataFrame) -> list[Block]:
    """A table with a row per contestant; a line that says why if no epoch has a figure.

    Args:
        frame: see `epochs.epochs_frame`; the rows of one of `groups.groups`.
    """
    frame = labelled(frame)
    ran = frame[(frame["status"] == "ok") & frame["epoch"].notna()]
    if ran.empty:
        return []
    heading, counters = Heading("Energy", 3), [name for name in ran["energy_by"].unique() if name]
    if not counters:
        return [heading, Text(f"No counter could be read: {'; '.join(ran['no_energy'].unique())}.")]
    used = [
        _used(group)
        for _, group in frame.groupby(GROUP_AND_BACKEND, sort=False)
        if (group["status"] == "ok").any()
    ]
    missing = Items(
        tuple(f"{one.workload} {one.backend}: {one.why_none}." for one in used if one.why_none)
    )
    if all(isnan(one.joules) for one in used):
        return [
            heading,
            Text(f"No figures, though there is a counter ({'; '.join(counters)}):"),
            missing,
        ]
    text = _TEXT.format(
        by="; ".join(counters), cpus=_CPUS if ran["energy_by"].str.startswith("RAPL").any() else ""
    )
    return [heading, Text(text), _table(used), missing]


def _table(used: list[_Used]) -> Table:
    host = not all(isnan(one.host_joules) for one in used)
    return Table(
        (*_COLUMNS, _HOST) if host else _COLUMNS,
        tuple(
            (
                one.workload,
                one.backend,
                words.joules(one.joules),
                one.epochs,
                words.watts(one.watts),
                words.three_digits(one.images_per_joule),
                one.to_target,
                *((words.joules(one.host_joules),) if host else ()),
            )
            for one in used
        ),
    )


def _used(group: pd.DataFrame) -> _Used:
    """One contestant's cells, over its jobs that ended ok; to the target, over all its jobs."""
    epochs = group[group["steady"] & (group["status"] == "ok")]
    joules, host = epochs["train_energy_joules"], epochs["train_host_energy_joules"]
    per_epoch = joules.median() if joules.notna().all() else nan
    watts = (joules / epochs["train_wall_seconds"]).median() if joules.notna().all() else nan
    return _Used(
        workload=str(group["label"].iloc[0]),
        backend=str(group["backend"].iloc[0]),
        joules=per_epoch,
        epochs=f"{joules.notna().sum()} of {len(epochs)}",
        watts=watts,
        images_per_joule=float(epochs["train_examples"].iloc[0]) / per_epoch,
        to_target=_to_target(group),
        host_joules=host.median() if host.notna().all() else nan,
        why_none=_why_none(epochs),
    )


def _why_none(epochs: pd.DataFrame) -> str:
    """How many of the epochs that count have no figure, how long they are, and why; "" if none."""
    missing = epochs[epochs["train_energy_joules"].isna()]
    if missing.empty:
        return ""
    median = words.seconds(missing["train_wall_seconds"].median())
    reasons = "; ".join(missing["no_energy"].unique())
    return f"{len(missing)} of {len(epochs)} epochs (median {median}) without a figure: {reasons}"


def _to_target(group: pd.DataFrame) -> str:
    """Median joules of training until a job reached the target, if every job reached it."""
    if group["target_accuracy"].isna().all():
        return words.ABSENT
    ran = group[group["status"] == "ok"].sort_values(["key", "epoch"])
    # Without the figure of one epoch all later sums are unknown, too.
    sums = ran.groupby("key")["train_energy_joules"].cumsum(skipna=False)
    reached = ran.assign(sums=sums)[ran["test_accuracy"] >= ran["target_accuracy"]]
    reached = reached.drop_duplicates("key")
    jobs = group["key"].nunique()
    if len(reached) < jobs:
        return f"reached by {len(reached)} of {jobs}" if len(reached) else "not reached"
    return words.joules(reached["sums"].median() if reached["sums"].notna().all() else nan)
