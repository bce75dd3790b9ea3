"""Compares kinds of hardware over all their nodes: speed, energy, and price.

`bench.report.compare` has a column per setup, such as a node. Here all nodes of a partition, or
with the same model of GPU, are one group.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from math import isfinite, nan
from pathlib import Path
from typing import Any

import pandas as pd
from rich.console import Console

from backends.contract import kind_of, nodes_of, ranks_of
from bench.machine.host import gpu_of
from bench.records.files import RunError, write_atomically
from bench.records.job import Record
from bench.report.chart.heat import geometric_mean
from bench.report.compare import names_of, refuse_run
from bench.report.document.write import write_document
from bench.report.form import words
from bench.report.form.blocks import Block, Heading, Items, Table, without_empty
from bench.report.form.csv import comma_separated
from bench.report.frame.energy import energy_per_epoch
from bench.report.frame.places import Row, label, rows_of
from bench.report.frame.summary import strict_median
from bench.report.run import Run
from bench.report.terminal.plain import plain_table

_UNKNOWN = "unknown"
_TRAINING = [
    *("dataset", "data_checksum", "workload", "spec", "epochs", "batch_size", "precision"),
    *("ranks", "job_nodes", "backend"),
]
_HOUR = 3600.0
_MOST_JOBS = 3
_HOW = (
    "Figures are medians over nodes, of jobs that ended ok on an otherwise idle machine. Time,"
    " energy and node-hours to the target accuracy include only training, not start-up and"
    " evaluation; they are shown only if every job reached the target. Energy is only that of the"
    " job's device: the GPU, or the CPUs."
)


def _gpu(record: Record) -> str:
    gpu = gpu_of(record.machine, record.job.device)
    return gpu.name if gpu else kind_of(record.job.device)


def _driver(record: Record) -> str:
    gpu = gpu_of(record.machine, record.job.device)
    return gpu.driver if gpu else "no GPU"


def _versions(record: Record) -> str:
    return ", ".join(map(" ".join, record.made_with.items()))


# Properties by which nodes can be grouped. Without a choice, the first one with several values.
BY: dict[str, Callable[[Record], str]] = {
    "partition": lambda record: record.slurm.partition if record.slurm else _UNKNOWN,
    "gpu": _gpu,
    "cpu": lambda record: record.machine.cpu,
    "driver": _driver,
    "version": _versions,
    "node": lambda record: record.machine.name,
}


class Hardware:
    """Groups of nodes in the same tables.

    Attributes:
        left_out: the files of all runs that cannot be read.
        jobs: a row per job of all runs, see `bench.report.frame.jobs.jobs_frame`.

    Args:
        folders: the runs' folders.
        by: one of `BY` or "run"; None for the first one with several values.
        prices: group -> the price per hour of the hardware that a job occupies.

    Raises:
        RunError: a run is missing or empty, or a price names no group.
    """

    def __init__(
        self, folders: Sequence[Path], by: str | None, prices: Mapping[str, float]
    ) -> None:
        runs = dict(zip(names_of(folders), map(Run.read, folders), strict=True))
        self.left_out = [file for run in runs.values() for file in run.left_out]
        self.jobs = pd.concat([_jobs(name, run) for name, run in runs.items()], ignore_index=True)
        self.jobs["label"] = label(self.jobs)
        self._by = by or _first_with_several(self.jobs)
        self.jobs["group"] = self.jobs[self._by]
        self._groups = list(dict.fromkeys(self.jobs["group"]))
        for name in prices:
            if name not in self._groups:
                raise RunError(
                    f"--price {name}: no {self._by} of this name",
                    expected=f"one of {', '.join(self._groups)}",
                    hint=f"--by names what is grouped: {', '.join(BY)} or run",
                )
        self._prices = prices
        self._rows = rows_of(self._figures())

    def print_table(self, console: Console) -> None:
        """Print the groups, a row per workload, backend and group, and the notes."""
        for table in (self._means(), self._table()):
            left = {*table.columns[:3]} if table.columns[0] == "workload" else {table.columns[0]}
            shown = plain_table(table.columns, left | {"job ids"}, no_wrap=False)
            for cells in table.rows:
                shown.add_row(*cells)
            console.print(shown)
        for line in self._notes():
            console.print(line, soft_wrap=True)

    def write(self, folder: Path) -> None:
        """Write the comparison as `report.md`, `report.html` and `hardware.csv`.

        Raises:
            RunError: the folder is a run's folder, or cannot be written.
        """
        refuse_run(folder)
        blocks: list[Block] = [
            Heading(f"Hardware compared by {self._by}", 1),
            self._means(),
            Heading("All trainings", 2),
            self._table(),
            Items(tuple(self._notes())),
        ]
        write_document(blocks, folder)
        write_atomically(folder / "hardware.csv", comma_separated(pd.DataFrame(self._rows)))

    def _figures(self) -> pd.DataFrame:
        """A row per training and group."""
        keys = [*_TRAINING, "group"]
        jobs = self.jobs.assign(reached=self.jobs["seconds_to_target"].notna())
        ok = jobs[(jobs["status"] == "ok") & jobs["counts"]]
        by_node = ok.groupby([*keys, "node"], observed=True)["epoch_seconds"].median()
        of_group = ok.groupby(keys, observed=True)
        every = jobs.groupby(keys, observed=True, sort=False)
        timed = ok[ok["steady_epochs"] > 0].groupby(keys, observed=True)
        to_target = of_group[["seconds_to_target", "joules_to_target"]].agg(strict_median)
        frame = every.agg(
            label=("label", "first"),
            nodes=("node", "nunique"),
            jobs=("key", "size"),
            train_examples=("train_examples", "first"),
            all_reached=("reached", "all"),
        ).join(
            [
                of_group["key"].size().rename("ok_jobs"),
                of_group["test_accuracy"].mean(),
                by_node.groupby(keys, observed=True).median().rename("epoch_seconds"),
                to_target,
                energy_per_epoch(timed),
            ]
        )
        for name in ("seconds_to_target", "joules_to_target"):
            frame[name] = frame[name].where(frame["all_reached"])
        frame["ok_jobs"] = frame["ok_jobs"].fillna(0).astype(int)
        frame = frame.reset_index()
        frame["images_per_second"] = frame["train_examples"] / frame["epoch_seconds"]
        frame["images_per_joule"] = frame["train_examples"] / frame["epoch_energy_joules"]
        frame["node_hours_to_target"] = frame["seconds_to_target"] * frame["job_nodes"] / _HOUR
        frame["price_per_hour"] = frame["group"].map(self._prices).astype(float)
        frame["cost_to_target"] = frame["node_hours_to_target"] * frame["price_per_hour"]
        price_per_second = frame["price_per_hour"] * frame["job_nodes"] / _HOUR
        frame["cost_per_image"] = price_per_second / frame["images_per_second"]
        order = pd.Categorical(frame["group"], self._groups)
        frame = frame.assign(group=order).sort_values(["label", "backend", "group"], kind="stable")
        return frame.astype({"group": str})

    def _table(self) -> Table:
        """A row per training and group."""
        rows, previous = [], ("", "")
        for row in self._rows:
            name = (str(row["label"]), str(row["backend"]))
            first = ("" if name[0] == previous[0] else name[0], "" if name == previous else name[1])
            previous = name
            rows.append(
                (
                    *(*first, str(row["group"])),
                    *(str(row["nodes"]), f"{row['ok_jobs']}/{row['jobs']}"),
                    words.percent(row["test_accuracy"]),
                    words.per_second(row["images_per_second"]),
                    words.watts(row["mean_watts"]),
                    words.three_digits(row["images_per_joule"]),
                    words.seconds(row["seconds_to_target"]),
                    words.joules(row["joules_to_target"]),
                    words.three_digits(row["node_hours_to_target"]),
                    words.three_digits(row["cost_to_target"]),
                )
            )
        titles = (
            *("workload", "backend", self._by, "nodes", "ok", "accuracy", "images/s", "power"),
            *("images/J", "to target", "energy", "node-hours", "cost"),
        )
        return without_empty(Table(titles, tuple(rows)))

    def _means(self) -> Table:
        """A row per group: its nodes and tasks, and means of its ratios to the first group."""
        rows = []
        for group in self._groups:
            jobs = self.jobs[self.jobs["group"] == group]
            ids = list(dict.fromkeys(jobs["task"][jobs["task"] != ""]))
            queues = list(dict.fromkeys(jobs["partition"][jobs["partition"] != _UNKNOWN]))
            rows.append(
                (
                    *(group, str(jobs["node"].nunique()), str(len(jobs))),
                    ", ".join(words.first_of(queues, _MOST_JOBS)) or words.ABSENT,
                    str(len(ids)) if ids else words.ABSENT,
                    ", ".join(words.first_of(ids, _MOST_JOBS)) or words.ABSENT,
                    words.three_digits(self._prices.get(group, nan)),
                    *(
                        words.ratio(self._mean(group, name))
                        for name in (
                            *("images_per_second", "images_per_joule", "seconds_to_target"),
                            *("joules_to_target", "cost_per_image", "cost_to_target"),
                        )
                    ),
                )
            )
        titles = (
            *(self._by, "nodes", "jobs", "queue", "tasks", "job ids", "price/h", "images/s"),
            *("images/J", "time to target", "energy to target", "cost/image", "cost to target"),
        )
        return without_empty(Table(titles, tuple(rows)))

    def _mean(self, group: str, figure: str) -> float:
        """The geometric mean of a group's ratios to the first group; NaN without any."""
        first = {
            _training(row): row[figure] for row in self._rows if row["group"] == self._groups[0]
        }
        ratios = [
            row[figure] / first[_training(row)]
            for row in self._rows
            if row["group"] == group and _training(row) in first
        ]
        valid = [ratio for ratio in ratios if isfinite(ratio) and ratio > 0]
        return geometric_mean(valid) if valid else nan

    def _notes(self) -> Iterator[str]:
        yield (
            f"First table: geometric means of ratios to {self._groups[0]}, over the trainings that"
            " both ran."
        )
        yield _HOW
        if self._prices:
            yield "Cost: node-hours times the price per hour, in the currency of the price."
        missing = [group for group in self._groups if self._prices and group not in self._prices]
        if missing:
            yield f"No price was given for {', '.join(words.first_of(missing))}."


def _training(row: Row) -> tuple[Any, ...]:
    return tuple(row[name] for name in _TRAINING)


def _jobs(name: str, run: Run) -> pd.DataFrame:
    """The jobs of a run, with the columns of `BY`, `run`, `ranks`, `job_nodes` and `task`."""
    by_key = {record.key: record for record in run.records}
    ordered = [by_key[str(key)] for key in run.jobs["key"]]
    columns = {column: [value(record) for record in ordered] for column, value in BY.items()}
    ranks = [ranks_of(record.job.device) for record in ordered]
    job_nodes = [nodes_of(record.job.device) for record in ordered]
    tasks = [record.slurm.job if record.slurm else "" for record in ordered]
    return run.jobs.assign(**columns, run=name, ranks=ranks, job_nodes=job_nodes, task=tasks)


def _first_with_several(jobs: pd.DataFrame) -> str:
    for name in ("partition", "run", *BY):
        if jobs[name].nunique() > 1:
            return name
    return "gpu"
