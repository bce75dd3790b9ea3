"""Selects the results for the slides: one machine and device, one group per workload."""

from __future__ import annotations

from functools import cached_property
from typing import Any, cast

import numpy as np
import pandas as pd

from bench.records.job import Record, in_precision, native_name
from bench.records.learned import Learned, path_of, read_learned
from bench.records.stored import LeftOut
from bench.report.frame.columns import GROUP
from bench.report.frame.pairs import Order, Pair, orders_of
from bench.report.frame.places import Row, rows_of
from bench.report.run import Run
from specs.model import Workload

# The order of the models in a course; other models follow, the smallest first.
COURSE = (
    *("softmax", "softmax-sgd", "mlp-sigmoid", "mlp-tanh", "mlp-relu", "mlp-relu-dropout"),
    *("mlp-relu-dropout-sgd", "mlp-relu-quadratic", "lenet5-1998", "lenet5"),
    *("cnn", "cnn-notebook", "cnn-expanded"),
)
WHERE = ["machine", "device", "device_name", "threads", "precision"]


class Results:
    """A run's results on one machine and device, by workload.

    Attributes:
        whole: the whole run.
        run: its part on the machine and device with the most results.
        where: a row with this machine, device and number of threads.
        elsewhere: the other machines and devices, as text.
        workloads: the names of the workloads, in the order of a course.
    """

    def __init__(self, run: Run) -> None:
        self.whole = run
        jobs = run.jobs
        places = jobs[WHERE].apply(tuple, axis=1)
        good = (jobs["status"] == "ok") & (jobs["mode"] == "matched")
        counted = places[good] if good.any() else places
        place = counted.value_counts(sort=False).idxmax()
        keys = set(jobs.loc[places == place, "key"])
        self.run = run
        if len(keys) < len(jobs):
            self.run = Run([r for r in run.records if r.key in keys], run.folder, run.left_out)
        self.where: Row = rows_of(jobs[places == place])[0]
        others = dict.fromkeys(places[places != place])
        self.elsewhere = [
            in_precision(f"{machine} {device}", precision)
            for machine, device, _, _, precision in others
        ]
        self._groups = {
            str(name): _usual(rows, self.workload(str(name)))
            for name, rows in self.run.summary.groupby("workload", sort=False, observed=True)
        }
        of_course = [name for name in COURSE if name in self._groups]
        other_names = sorted(
            self._groups.keys() - {*COURSE}, key=lambda name: (self.size(name), name)
        )
        self.workloads = [*of_course, *other_names]

    def workload(self, name: str) -> Workload:
        """The workload with this name, from the records."""
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

    def row(self, name: str, backend: str) -> Row | None:
        """The row of one backend, see `rows`."""
        return next((row for row in self.rows(name) if row["backend"] == backend), None)

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

    def jobs(self, name: str, backend: str) -> pd.DataFrame:
        """The matched jobs of a backend in the group of a workload that ended ok."""
        return self._of_group(self.run.jobs, self.group(name), backend)

    def seeds(self, name: str, backend: str) -> dict[int, float]:
        """Seed -> the test accuracy of a backend, mean over rounds."""
        means = self.jobs(name, backend).groupby("seed")["test_accuracy"].mean().dropna()
        return {int(row["seed"]): row["test_accuracy"] for row in rows_of(means.reset_index())}

    def curve(self, name: str, backend: str) -> pd.DataFrame:
        """The means over jobs, by epoch: losses and accuracies on both sets."""
        columns = ["test_accuracy", "train_accuracy", "test_loss", "train_loss"]
        epochs = self._of_group(self.run.epochs, self.group(name), backend)
        return epochs.groupby("epoch")[columns].mean()

    def batch_sizes(self, name: str) -> dict[int, pd.DataFrame]:
        """Batch size -> epochs, for the data set and backend with the most batch sizes."""
        rows = self.run.summary
        rows = rows[
            (rows["workload"] == name) & (rows["status"] == "ok") & (rows["mode"] == "matched")
        ]
        if rows.empty:
            return {}
        same = ["spec", "data_checksum", "backend"]
        sizes = rows.groupby(same, observed=True, sort=False)["batch_size"].nunique()
        best = cast("tuple[str, ...]", sizes.idxmax())
        chosen = rows[np.all([rows[c] == v for c, v in zip(same, best, strict=True)], axis=0)]
        return {
            int(row["batch_size"]): self._of_group(
                self.run.epochs, tuple(row[column] for column in GROUP), row["backend"]
            )
            for row in rows_of(chosen.sort_values(["batch_size", "epochs"], kind="stable"))
        }

    @staticmethod
    def _of_group(
        frame: pd.DataFrame, group: tuple[Any, ...] | None, backend: str | None = None
    ) -> pd.DataFrame:
        """The rows of a group that ended ok; only those of `backend`, if it is given."""
        if group is None:
            return frame.iloc[:0]
        same = [frame[column] == value for column, value in zip(GROUP, group, strict=True)]
        if backend is not None:
            same.append(frame["backend"] == backend)
        rows: pd.DataFrame = frame[np.all([frame["status"] == "ok", *same], axis=0)]
        return rows

    def learned(self, name: str) -> dict[str, Learned]:
        """Backend -> what its model has learned, for the seed with the most backends.

        A file that does not match its record is added to the run's `left_out`.
        """
        stored = [record for record in self._matched(name) if self._path_exists(record)]
        seeds = [record.job.seed for record in stored]
        best = max(dict.fromkeys(sorted(seeds)), key=seeds.count, default=None)
        read = {r.job.backend: self._read(r) for r in stored if r.job.seed == best}
        return {backend: learned for backend, learned in read.items() if learned is not None}

    def record(self, name: str, backend: str) -> Record:
        """A record of a backend on a workload; see `learned`."""
        return next(r for r in self._matched(name) if r.job.backend == backend)

    def _matched(self, name: str) -> list[Record]:
        keys = set(self._of_group(self.run.jobs, self.group(name))["key"])
        records = [r for r in self.run.records if r.key in keys and r.job.mode == "matched"]
        order = {backend: number for number, backend in enumerate(self.backends)}
        return sorted(records, key=lambda r: (order.get(r.job.backend, 0), r.job.seed, r.job.round))

    def _path_exists(self, record: Record) -> bool:
        return path_of(self.run.folder, record.key).is_file()

    def _read(self, record: Record) -> Learned | None:
        learned = read_learned(self.run.folder, record.key)
        if isinstance(learned, Learned):
            fits = len(learned.classes) == record.data.test_examples
            fits &= bool((learned.classes < record.job.workload.input.classes).all())
            if fits:
                return learned
            learned = LeftOut(path_of(self.run.folder, record.key), "not of its record")
        if learned is not None and learned not in self.whole.left_out:
            self.whole.left_out.append(learned)
        return None


def _usual(rows: pd.DataFrame, workload: Workload) -> pd.DataFrame:
    """The rows of the group that is most like the recipe.

    Groups with the recipe's batch size and data set come first, then those with the most backends,
    then those with the most epochs.
    """
    recipe = workload.recipe
    groups = dict(iter(rows.groupby(GROUP, sort=False, observed=True)))

    def likeness(group: tuple[Any, ...]) -> tuple[bool, bool, int, int]:
        row, ok = dict(zip(GROUP, group, strict=True)), groups[group]["status"] == "ok"
        matched = groups[group]["mode"] == "matched"
        return (
            row["batch_size"] == recipe.batch_size and bool((ok & matched).any()),
            row["dataset"] == recipe.dataset,
            int((ok & matched).sum()),
            row["epochs"],
        )

    return groups[max(groups, key=likeness)]
