"""Selects from a run what slides show: one machine and device, one group per workload."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.records.job import Record, native_name
from bench.records.learned import Learned, read_learned
from bench.records.stored import LeftOut
from bench.report.frame.columns import GROUP
from bench.report.frame.pairs import Order, Pair, orders_of
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from specs.model import Workload

# The order in which a course has its models; others follow, the smallest first.
COURSE = (
    *("softmax", "mlp-sigmoid", "mlp-tanh", "mlp-relu", "mlp-relu-dropout"),
    *("mlp-relu-dropout-sgd", "mlp-relu-quadratic", "lenet5-1998", "lenet5"),
    *("cnn", "cnn-notebook", "cnn-expanded"),
)
_WHERE = ["machine", "device", "device_name", "threads"]


class Results:
    """A run's results on one machine and device, by workload.

    Attributes:
        run: the whole run.
        workloads: the names, in the order of a course.
        where: a row with the machine, device and number of threads.
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        place = run.summary.groupby(_WHERE, sort=False, dropna=False).size().idxmax()
        here = run.summary[_WHERE].apply(tuple, axis=1) == place
        rows = run.summary[here]
        self.where: Row = rows_of(rows)[0]
        self._groups = {
            str(name): _usual(of_workload, self.workload(str(name)))
            for name, of_workload in rows.groupby("workload", sort=False, observed=True)
        }
        self._rows = rows
        known = [name for name in COURSE if name in self._groups]
        others = sorted(self._groups.keys() - {*COURSE}, key=lambda name: (self.size(name), name))
        self.workloads = [*known, *others]

    def workload(self, name: str) -> Workload:
        """The workload of that name, as the records have it."""
        return next(r.job.workload for r in self.run.records if r.job.workload.name == name)

    def size(self, name: str) -> int:
        """The floating point operations of a training step, per image."""
        jobs = self.run.jobs
        return int(jobs.loc[jobs["workload"] == name, "training_flops"].min())

    def parameters(self, name: str) -> int:
        """The number of weights of a workload."""
        jobs = self.run.jobs
        return int(jobs.loc[jobs["workload"] == name, "parameters"].min())

    def rows(self, name: str) -> list[Row]:
        """The rows of the summary of a workload's matched jobs that ended ok; [] if none did."""
        rows = self._groups.get(name)
        if rows is None:
            return []
        return rows_of(rows[(rows["mode"] == "matched") & (rows["status"] == "ok")])

    def native(self, name: str, backend: str) -> Row | None:
        """The row of a backend's native jobs, if they ended ok."""
        rows = self._groups.get(name)
        if rows is None:
            return None
        of_backend = rows[(rows["backend"] == native_name(backend)) & (rows["status"] == "ok")]
        return rows_of(of_backend)[0] if len(of_backend) else None

    @cached_property
    def backends(self) -> list[str]:
        """The matched backends with a result, in the order of the summary."""
        names = (row["backend"] for name in self.workloads for row in self.rows(name))
        return list(dict.fromkeys(names))

    def group(self, name: str) -> tuple[Any, ...] | None:
        """The group of a workload; None without a matched result."""
        rows = self.rows(name)
        return tuple(rows[0][column] for column in GROUP) if rows else None

    def pairs(self, name: str) -> list[Pair]:
        """The comparisons of speed of a workload."""
        return [pair for pair in self.run.pairs if pair.group == self.group(name)]

    def order(self, name: str) -> Order | None:
        """The order of the backends by speed; None with fewer than two."""
        orders = orders_of(self.pairs(name))
        return orders[0] if orders else None

    def curve(self, name: str, backend: str) -> pd.DataFrame:
        """The means over jobs, by epoch: running loss, losses and accuracies on both sets."""
        columns = ["test_accuracy", "train_accuracy", "test_loss", "train_loss"]
        return self._epochs_of(self.group(name), backend).groupby("epoch")[columns].mean()

    def batch_sizes(self, name: str) -> dict[int, pd.DataFrame]:
        """Batch size -> its epochs, of the data set and the backend that have the most sizes."""
        rows = self._rows[
            (self._rows["workload"] == name)
            & (self._rows["status"] == "ok")
            & (self._rows["mode"] == "matched")
        ]
        if rows.empty:
            return {}
        same = ["data_checksum", "backend"]
        sizes = rows.groupby(same, observed=True, sort=False)["batch_size"].nunique()
        checksum, backend = cast("tuple[str, str]", sizes.idxmax())
        of_backend = rows[(rows["data_checksum"] == checksum) & (rows["backend"] == backend)]
        of_backend = of_backend.sort_values("epochs")
        return {
            int(row["batch_size"]): self._epochs_of(
                tuple(row[column] for column in GROUP), row["backend"]
            )
            for row in sorted(rows_of(of_backend), key=lambda row: row["batch_size"])
        }

    def _epochs_of(self, group: tuple[Any, ...] | None, backend: str) -> pd.DataFrame:
        epochs = self.run.epochs
        of_group = np.all(
            [epochs[c] == value for c, value in zip(GROUP, group or (), strict=True)], axis=0
        )
        rows: pd.DataFrame = epochs[
            of_group & (epochs["backend"] == backend) & (epochs["status"] == "ok")
        ]
        return rows

    def records(self, name: str) -> dict[str, Record]:
        """Backend -> the record of its first seed and round, of matched jobs that ended ok."""
        jobs = self.run.jobs
        group = self.group(name)
        if group is None:
            return {}
        of_group = np.all([jobs[c] == v for c, v in zip(GROUP, group, strict=True)], axis=0)
        ok = jobs[of_group & (jobs["status"] == "ok") & (jobs["mode"] == "matched")]
        first = ok.sort_values(["seed", "round"]).drop_duplicates("backend")
        by_key = {record.key: record for record in self.run.records}
        return {str(row["backend"]): by_key[row["key"]] for row in rows_of(first)}

    def learned(self, name: str) -> dict[str, Learned]:
        """Backend -> what its model has learned; only of those that have kept it."""
        found: dict[str, Learned] = {}
        for backend, record in self.records(name).items():
            learned = read_learned(self.run.folder, record.key)
            if isinstance(learned, LeftOut):
                if learned not in self.run.left_out:
                    self.run.left_out.append(learned)
            elif learned is not None and len(learned.classes) == record.data.test_examples:
                found[backend] = learned
        return found


def _usual(rows: pd.DataFrame, workload: Workload) -> pd.DataFrame:
    """The rows of the group that is most like the recipe: its batch size, its data, most epochs."""

    def likeness(group: tuple[Any, ...]) -> tuple[bool, bool, int, int]:
        row = dict(zip(GROUP, group, strict=True))
        recipe = workload.recipe
        return (
            row["batch_size"] == recipe.batch_size,
            row["dataset"] == recipe.dataset,
            row["epochs"],
            len(groups[group]),
        )

    groups = dict(iter(rows.groupby(GROUP, sort=False, observed=True)))
    return groups[max(groups, key=likeness)]
