"""Compares runs side by side: the same workloads on different machines, devices or versions.

A computing centre compares its nodes in this way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from math import isfinite
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console

from backends.contract import kind_of
from bench.machine.host import gpu_of
from bench.records.files import RunError, write_atomically
from bench.records.job import Record, usual_name
from bench.report.chart.heat import geometric_mean, heat_map
from bench.report.document.write import write_document
from bench.report.form import words
from bench.report.form.blocks import Alarm, Block, Card, Cards, Heading, Items, Table, Text
from bench.report.form.csv import comma_separated
from bench.report.frame.disturbed import say_disturbed
from bench.report.frame.places import Row, label, rows_of
from bench.report.run import Run
from bench.report.section.environment import MACHINE_COLUMNS, machine_cells
from bench.report.section.opening import alarm
from bench.report.terminal.plain import plain_table

# Two setups are in one row only if these are equal.
_TRAINING = ["dataset", "data_checksum", "workload", "spec", "epochs", "batch_size", "backend"]
_SETUP = ("run", "machine", "device", "threads", "precision")
_MEASURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "Training epoch, median": ("epoch_seconds", words.seconds),
    "Test accuracy, last epoch": ("test_accuracy", words.percent),
    "Training images per second": ("train_examples_per_second", words.per_second),
    "Peak process memory while training": ("train_peak_rss_bytes", words.gigabytes),
    "Device memory, allocator's peak": ("allocator_peak_bytes", words.gigabytes),
    "Training time to the target accuracy": ("seconds_to_target", words.seconds),
}


_NOTHING = (
    "No two of them ran the same training (data set, epochs and batch size), so there is no ratio."
    " The notes say what differs."
)
_MEAN = (
    "Geometric mean of a setup's ratios: one per workload and backend that ended ok in this setup"
    " and in the first one. It does not show how certain a single ratio is."
)


class _Training(NamedTuple):
    """Setup -> the row of one training; times are divided by the time of the row `base`."""

    workload: str
    backend: str
    rows: dict[str, Row]
    base: Row

    def ratio(self, setup: str) -> str:
        """This setup's epoch time divided by that of `base`, as text."""
        row, base = self.rows[setup], self.base
        one_round = min(row["rounds"], base["rounds"]) == 1
        return words.ratio(row["epoch_seconds"] / base["epoch_seconds"], provisional=one_round)


class Comparison:
    """Several setups in the same tables.

    A setup is a run, or a machine, device, number of threads or precision within a run. The runs'
    frames (see `bench.report.run.Run`) are used, with the columns `run` and `setup`.

    Attributes:
        left_out: the files of all runs that cannot be read.
        setups: the names of the setups.
        kind: the properties that differ between setups: "run", "machine", "run, threads".

    Args:
        folders: the runs' folders. A time is divided by the time in the first setup in which the
            training ended ok.

    Raises:
        RunError: a run is missing or empty, or there is only one setup.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        runs = dict(zip(names_of(folders), map(Run.read, folders), strict=True))
        self.left_out = [file for run in runs.values() for file in run.left_out]
        self.jobs, self.epochs, self.summary = (
            pd.concat(
                [frame.assign(run=name) for name, frame in zip(runs, frames, strict=True)]
            ).reset_index(drop=True)
            for frames in zip(*((r.jobs, r.epochs, r.summary) for r in runs.values()), strict=True)
        )
        columns = _columns_of_setups(self.jobs)
        self.kind = ", ".join(columns)
        for frame in (self.jobs, self.epochs, self.summary):
            frame["setup"] = _setups(frame, columns)
            if "precision" in columns:  # it is in the setup's name
                frame["backend"] = frame["backend"].astype(str).map(usual_name)
        self.setups = list(dict.fromkeys(self.jobs["setup"]))
        if len(self.setups) == 1:
            raise RunError(
                f"there is only one {self.kind} to compare: {self.setups[0]}",
                expected="several runs, or one with several machines or devices",
            )
        self.summary["label"] = label(self.summary) + _data_label(self.summary)
        self.epochs["label"] = label(self.epochs) + _data_label(self.epochs)
        records = {(name, r.key): r for name, run in runs.items() for r in run.records}
        identities = self.jobs[["setup", "run", "key"]].itertuples(index=False, name=None)
        self._records: list[tuple[str, Record]] = [
            (setup, records[name, key]) for setup, name, key in identities
        ]

    def print_table(self, console: Console) -> None:
        """Print a row per workload, backend and setup, then the notes."""
        left = ("workload", "backend", self.kind)
        titles = (*left, "accuracy", "epoch", "ratio", "memory")
        table = plain_table(titles, left, no_wrap=False)
        previous = ""
        for training in self._trainings():
            for number, setup in enumerate(name for name in self.setups if name in training.rows):
                workload = training.workload if training.workload != previous else ""
                cells = (workload, "" if number else training.backend, setup)
                table.add_row(*cells, *_short(training, setup))
                previous = training.workload
        console.print(table)
        for line in self.notes():
            console.print(line, soft_wrap=True)

    def notes(self) -> list[str]:
        """The lines that explain the tables."""
        where = f"the time in {self.setups[0]}, or in the next setup if it has none"
        lines = [f"Ratio: epoch time divided by {where}; above 1 is slower."]
        if self.summary["precision"].nunique() > 1:
            lines.append("Precisions differ: a lower precision is a different computation.")
        ok, bad = (self.summary[(self.summary["status"] == "ok") == good] for good in (True, False))
        if (ok["rounds"] == 1).any():
            lines.append("~ provisional: one of the two times comes from a single round.")
        unconfirmed = self.summary[(self.summary["status"] == "ok") & (self.summary["doubt"] != "")]
        lines += [
            f"{row.workload} {row.backend} {row.setup}: {row.doubt}"
            for row in unconfirmed.itertuples()
        ]
        for workload, rows in self.summary.groupby("workload", sort=False):
            unequal = [
                column.replace("_", " ").replace("checksum", "set")
                for column in ("data_checksum", "spec", "epochs", "batch_size")
                if rows.groupby("setup")[column].agg(frozenset).nunique() > 1
            ]
            if unequal:
                lines.append(
                    f"{workload}: rows that differ in {' or '.join(unequal)} are not compared."
                )
        lines += [
            f"{row['label']} {row['backend']}, {row['setup']}: {row['status']}, {row['reason']}"
            for row in rows_of(bad)
        ]
        lines += self._differing_versions()
        for setup, rows in self.jobs.groupby("setup", sort=False):
            lines += [f"{setup}, {line}" for line in say_disturbed(rows)]
        return lines

    def write(self, folder: Path) -> None:
        """Write the comparison as `report.md`, `report.html`, `comparison.csv` and its chart.

        Raises:
            RunError: the folder is a run's folder, or cannot be written.
        """
        refuse_run(folder)
        write_document(self.blocks(), folder)
        write_atomically(folder / "comparison.csv", comma_separated(self.summary))

    def blocks(self) -> list[Block]:
        """The page: what is comparable, the machines, ratios, and a table per measure."""
        ratios = list(self._ratios())
        chart = heat_map(ratios)
        blocks: list[Block] = [
            Heading(f"{' and '.join(self.setups)} compared", 1),
            *([] if ratios else [Alarm("Nothing in common", _NOTHING, (), warns=True)]),
            *alarm(self.jobs),
            Cards(tuple(self._cards())),
        ]
        if chart:
            blocks += [Heading("Ratios", 2), chart, self._means(ratios), Text(_MEAN)]
        blocks += [Heading("Notes", 2), Items(tuple(self.notes()))]
        for title, (column, text) in _MEASURES.items():
            if self.summary[column].notna().any():
                ratio = column == "epoch_seconds"
                blocks += [Heading(title, 2), self._table(column, text, ratio=ratio)]
        return [*blocks, Heading("Environment", 2), self._machines(), self._versions()]

    def _ratios(self) -> Iterator[tuple[str, str, str, float, str]]:
        """Yield (setup, workload, backend, epoch time divided by the first setup's, its text)."""
        for training in self._trainings():
            if training.base["setup"] != self.setups[0]:  # no result in the first setup
                continue
            for setup, row in training.rows.items():
                ratio = row["epoch_seconds"] / training.base["epoch_seconds"]
                if row is not training.base and row["status"] == "ok" and isfinite(ratio):
                    yield setup, training.workload, training.backend, ratio, training.ratio(setup)

    def _means(self, ratios: Sequence[tuple[str, str, str, float, str]]) -> Table:
        """The geometric mean of the ratios of each setup."""
        rows = []
        for setup in dict.fromkeys(setup for setup, *_ in ratios):
            of_setup = [ratio for name, _, _, ratio, _ in ratios if name == setup]
            mean, low, high = geometric_mean(of_setup), min(of_setup), max(of_setup)
            texts = (words.ratio(value) for value in (mean, low, high))
            rows.append((setup, str(len(of_setup)), *texts))
        columns = (self.kind, "trainings", "geometric mean", "lowest ratio", "highest ratio")
        return Table(columns, tuple(rows))

    def _cards(self) -> Iterator[Card]:
        """A card per setup: its device, processor, memory and versions."""
        records = dict(reversed(self._records))
        for setup in self.setups:
            job, machine = records[setup].job, records[setup].machine
            gpu = gpu_of(machine, job.device)
            device = machine.cpu if kind_of(job.device) == "cpu" else job.device
            if gpu is not None:
                device = f"{gpu.name} (driver {gpu.driver})"
            yield Card(
                setup,
                device,
                f"{machine.name}, {machine.cpus},"
                f" {machine.memory_bytes / 1e9:.0f} GB, {words.threads(job.threads)},"
                f" {machine.system}",
            )

    def _machines(self) -> Table:
        machines = dict.fromkeys(
            (setup, *machine_cells(record.machine)) for setup, record in self._records
        )
        return Table((self.kind, *MACHINE_COLUMNS), tuple(machines))

    def _versions(self) -> Table:
        """A row per backend, with its packages' versions in each setup."""
        texts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for setup, record in self._records:
            text = ", ".join(map(" ".join, record.made_with.items()))
            texts[record.job.backend][setup].add(text)
        lines = (
            (
                backend,
                *(" / ".join(sorted(by_setup[setup] or {words.ABSENT})) for setup in self.setups),
            )
            for backend, by_setup in texts.items()
        )
        return Table(("backend", *self.setups), tuple(lines))

    def _differing_versions(self) -> list[str]:
        """A line per backend and package whose version differs between setups."""
        packages: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for setup, record in self._records:
            for package, version in record.made_with.items():
                packages[f"{record.job.backend}: {package}"][version].add(setup)
        return [
            f"{package} "
            + "; ".join(
                f"{version} in {', '.join(sorted(where))}" for version, where in versions.items()
            )
            for package, versions in packages.items()
            if len(versions) > 1
        ]

    def _table(self, column: str, text: Callable[[Any], str], *, ratio: bool) -> Table:
        lines = []
        for training in self._trainings():
            cells = []
            for setup in self.setups:
                row = training.rows.get(setup)
                shown = words.ABSENT if row is None else text(row[column])
                if ratio and shown != words.ABSENT:
                    shown += f" ({training.ratio(setup)})"
                cells.append(shown)
            lines.append((training.workload, training.backend, *cells))
        return Table(("workload", "backend", *self.setups), tuple(lines))

    def _trainings(self) -> list[_Training]:
        """Each training with its row in each setup.

        The base is the row of the first setup in which the training ended ok, if any.
        """
        trainings = []
        for _, group in self.summary.groupby(_TRAINING, sort=False):
            rows = {row["setup"]: row for row in rows_of(group)}
            first = rows[group["setup"].iloc[0]]
            in_order = [rows[setup] for setup in self.setups if setup in rows]
            base = next((row for row in in_order if row["status"] == "ok"), first)
            trainings.append(_Training(first["label"], first["backend"], rows, base))
        return trainings


def _short(training: _Training, setup: str) -> tuple[str, ...]:
    row = training.rows[setup]
    if row["status"] != "ok":
        return (row["status"], *[words.ABSENT] * 3)
    return (
        words.percent(row["test_accuracy"]),
        words.seconds(row["epoch_seconds"]),
        training.ratio(setup),
        words.gigabytes(row["train_peak_rss_bytes"]),
    )


def refuse_run(folder: Path) -> None:
    """Refuse to write a page into the folder of a run, or to the path of a file.

    Raises:
        RunError: the path is one of these.
    """
    if folder.exists() and not folder.is_dir():
        raise RunError(f"{folder}: is a file", expected="a folder", hint="--output names a folder")
    if (folder / "jobs").exists():
        raise RunError(
            f"{folder}: is a run, whose report would be overwritten",
            expected="another folder",
            hint="--output names it",
        )


def names_of(folders: Sequence[Path]) -> list[str]:
    """The shortest end of each run's path that is unique."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise RunError("the same run is named twice", expected="different runs")
    length = 1
    while len({path[-length:] for path in parts}) < len(parts):
        length += 1
    return [str(Path(*path[-length:])) for path in parts]


def _columns_of_setups(jobs: pd.DataFrame) -> list[str]:
    """The columns of run, machine, device, threads and precision that differ between setups."""
    several = [column for column in _SETUP if jobs[column].nunique() > 1] or ["run"]
    # If every run has one machine, the name of the run also identifies the machine.
    if "run" in several and jobs.groupby("run")["machine"].nunique().max() == 1:
        several = [column for column in several if column != "machine"]
    return several


def _setups(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The name of each row's setup."""
    parts = [frame[name].map(words.threads if name == "threads" else str) for name in columns]
    return [", ".join(row) for row in zip(*parts, strict=True)]


def _data_label(summary: pd.DataFrame) -> pd.Series:
    """Per row, " on DATASET" if its workload was run on several data sets, else ""."""
    counts = summary.groupby("workload")["data_checksum"].transform("nunique")
    return (" on " + summary["dataset"].astype(str)).where(counts > 1, "")
