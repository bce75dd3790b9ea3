"""Compares runs side by side: the same workloads on different machines, devices or versions.

A computing centre compares its nodes in this way.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pandas as pd
from rich.console import Console

from bench.records.files import RunError, write_atomically
from bench.records.job import Record
from bench.report.form import words
from bench.report.form.csv import comma_separated
from bench.report.form.document import Block, Heading, Items, Plot, Table, Text, write_document
from bench.report.frame.columns import GROUP
from bench.report.frame.disturbed import say_disturbed
from bench.report.frame.places import Row, label, rows_of
from bench.report.plot.results import CAPTIONS, write_plots
from bench.report.run import Run
from bench.report.section.environment import MACHINE_COLUMNS, machine_cells
from bench.report.section.opening import alarm
from bench.report.terminal.plain import plain_table

# Two sites are in one row only if these are equal.
_TRAINING = ["dataset", "data_checksum", "workload", "spec", "epochs", "batch_size", "backend"]
_TOLD = {
    "data_checksum": "data sets",
    "spec": "specs",
    "epochs": "epochs",
    "batch_size": "batch sizes",
}
_SITE = {"run": "{}", "machine": "{}", "device": "{}", "threads": "threads {}"}
_MEASURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "Training epoch, median": ("epoch_seconds", words.seconds),
    "Test accuracy, last epoch": ("test_accuracy", words.percent),
    "Training images per second": ("train_examples_per_second", words.per_second),
    "Peak process memory while training": ("train_peak_rss_bytes", words.gigabytes),
    "Device memory, allocator's peak": ("allocator_peak_bytes", words.gigabytes),
    "Training time to the target accuracy": ("seconds_to_target", words.seconds),
}


class _Training(NamedTuple):
    """The rows of one training by site; `base` is the row that the others are divided by."""

    workload: str
    backend: str
    rows: dict[str, Row]
    base: Row

    def ratio(self, site: str) -> str:
        """This site's epoch time divided by that of `base`, as text."""
        row = self.rows[site]
        once = max(row["rounds"], self.base["rounds"]) == 1
        return words.ratio(row["epoch_seconds"] / self.base["epoch_seconds"], provisional=once)


class Comparison:
    """Several sites as columns of the same tables.

    A site is a run, or a machine, device or thread count within a run. Its frames are those of the
    runs (see `bench.report.run.Run`), with the columns `run` and `site`.

    Args:
        folders: the runs' folders; times are divided by those of the first site where the training
            ended ok.

    Raises:
        RunError: a run is missing or empty, or there is only one site.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        runs = {
            name: Run.read(folder) for name, folder in zip(_names(folders), folders, strict=True)
        }
        self.left_out = [file for run in runs.values() for file in run.left_out]
        self.jobs, self.epochs, self.summary = (
            pd.concat(
                [frame.assign(run=name) for name, frame in zip(runs, frames, strict=True)]
            ).reset_index(drop=True)
            for frames in zip(*((r.jobs, r.epochs, r.summary) for r in runs.values()), strict=True)
        )
        several = _columns_of_sites(self.jobs)
        for frame in (self.jobs, self.epochs, self.summary):
            frame["site"] = _sites(frame, several)
        self.sites = list(dict.fromkeys(self.jobs["site"]))
        if len(self.sites) == 1:
            raise RunError(
                f"there is only one site to compare: {self.sites[0]}",
                expected="several runs, or one with several machines or devices",
            )
        self.summary["label"] = label(self.summary) + _data_label(self.summary)
        self.epochs["label"] = label(self.epochs) + _data_label(self.epochs)
        records = {(name, r.key): r for name, run in runs.items() for r in run.records}
        identities = self.jobs[["site", "run", "key"]].itertuples(index=False, name=None)
        self._records: list[tuple[str, Record]] = [
            (site, records[name, key]) for site, name, key in identities
        ]

    def print_table(self, console: Console) -> None:
        """Print a row per workload, backend and site, and below them the notes."""
        left = ("workload", "backend", "site")
        titles = (*left, "accuracy", "epoch", "ratio", "memory")
        table = plain_table(titles, left, no_wrap=False)
        previous = ""
        for training in self._trainings():
            for number, site in enumerate(site for site in self.sites if site in training.rows):
                workload = training.workload if training.workload != previous else ""
                cells = (workload, "" if number else training.backend, site)
                table.add_row(*cells, *_short(training, site))
                previous = training.workload
        console.print(table)
        for line in self.notes():
            console.print(line, soft_wrap=True)

    def notes(self) -> list[str]:
        """The lines that a reader needs to read the tables correctly."""
        first = f"{self.sites[0]} where possible"
        lines = [f"Ratios are to the first site with that job, {first}: above 1 is slower."]
        ok, bad = (self.summary[(self.summary["status"] == "ok") == end] for end in (True, False))
        if not ok.empty and ok["rounds"].max() == 1:
            lines.append("~ provisional: one round.")
        for workload, rows in self.summary.groupby("workload", sort=False):
            for column, name in _TOLD.items():
                if rows.groupby("site")[column].agg(frozenset).nunique() > 1:
                    lines.append(
                        f"{workload}: {name} differ between sites; such rows are not compared."
                    )
        lines += [
            f"{row['label']} {row['backend']}, {row['site']}: {row['status']}, {row['reason']}"
            for row in rows_of(bad)
        ]
        lines += self._differing_versions()
        for site, rows in self.jobs.groupby("site", sort=False):
            lines += [f"{site}, {line}" for line in say_disturbed(rows, GROUP)]
        return lines

    def write(self, folder: Path) -> None:
        """Write the comparison as `report.md`, `report.html`, `comparison.csv` and plots.

        Raises:
            RunError: the folder cannot be written.
        """
        if folder.exists() and not folder.is_dir():
            raise RunError(
                f"{folder}: is a file", expected="a folder", hint="--output names a folder"
            )
        summary, epochs = (
            frame.assign(name=frame["backend"].astype(str) + " " + frame["site"])
            for frame in (self.summary, self.epochs)
        )
        plots = write_plots(summary, epochs, folder / "plots")
        blocks: list[Block] = [
            Heading(folder.resolve().name, 1),
            *alarm(self.jobs),
            Text("The same workloads, side by side."),
            Items(tuple(self.notes())),
        ]
        for title, (column, text) in _MEASURES.items():
            if self.summary[column].notna().any():
                ratio = column == "epoch_seconds"
                blocks += [Heading(title, 2), self._table(column, text, ratio=ratio)]
        blocks += [Heading("Plots", 2), *(Plot(plot, CAPTIONS[plot]) for plot in plots)]
        write_document(
            [*blocks, Heading("Environment", 2), self._machines(), self._versions()], folder
        )
        write_atomically(folder / "comparison.csv", comma_separated(self.summary))

    def _machines(self) -> Table:
        machines = dict.fromkeys(
            (site, *machine_cells(record.machine)) for site, record in self._records
        )
        return Table(("site", *MACHINE_COLUMNS), tuple(machines))

    def _versions(self) -> Table:
        """A row per backend, with its packages' versions at each site."""
        texts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for site, record in self._records:
            text = ", ".join(map(" ".join, record.versions.items()))
            texts[record.job.backend][site].add(text)
        lines = (
            (backend, *(" / ".join(sorted(by_site[site] or {words.ABSENT})) for site in self.sites))
            for backend, by_site in texts.items()
        )
        return Table(("backend", *self.sites), tuple(lines))

    def _differing_versions(self) -> list[str]:
        """A line per backend and package whose version differs between sites."""
        packages: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
        for site, record in self._records:
            for package, version in record.versions.items():
                packages[f"{record.job.backend}: {package}"][version].add(site)
        return [
            f"{package} "
            + "; ".join(f"{version} at {', '.join(sorted(at))}" for version, at in versions.items())
            for package, versions in packages.items()
            if len(versions) > 1
        ]

    def _table(self, column: str, text: Callable[[Any], str], *, ratio: bool) -> Table:
        lines = []
        for training in self._trainings():
            cells = []
            for site in self.sites:
                row = training.rows.get(site)
                shown = words.ABSENT if row is None else text(row[column])
                if ratio and shown != words.ABSENT:
                    shown += f" ({training.ratio(site)})"
                cells.append(shown)
            lines.append((training.workload, training.backend, *cells))
        return Table(("workload", "backend", *self.sites), tuple(lines))

    def _trainings(self) -> list[_Training]:
        """Each training that is the same on all its sites.

        The base is the first site where it ended ok, if any.
        """
        trainings = []
        for _, group in self.summary.groupby(_TRAINING, sort=False):
            rows = {row["site"]: row for row in rows_of(group)}
            first = rows[group["site"].iloc[0]]
            in_order = [rows[site] for site in self.sites if site in rows]
            base = next((row for row in in_order if row["status"] == "ok"), first)
            trainings.append(_Training(first["label"], first["backend"], rows, base))
        return trainings


def _short(training: _Training, site: str) -> tuple[str, ...]:
    row = training.rows[site]
    if row["status"] != "ok":
        return (row["status"], *[words.ABSENT] * 3)
    return (
        words.percent(row["test_accuracy"]),
        words.seconds(row["epoch_seconds"]),
        training.ratio(site),
        words.gigabytes(row["train_peak_rss_bytes"]),
    )


def _names(folders: Sequence[Path]) -> list[str]:
    """The shortest end of each run's path that is different from those of the others."""
    parts = [folder.resolve().parts for folder in folders]
    if len(set(parts)) < len(parts):
        raise RunError("the same run is named twice", expected="different runs")
    length = 1
    while len({path[-length:] for path in parts}) < len(parts):
        length += 1
    return [str(Path(*path[-length:])) for path in parts]


def _columns_of_sites(jobs: pd.DataFrame) -> list[str]:
    """Those of run, machine, device and threads that tell sites apart."""
    several = [column for column in _SITE if jobs[column].nunique() > 1] or ["run"]
    # Where every run has one machine, the name of the run also tells the machine.
    if "run" in several and jobs.groupby("run")["machine"].nunique().max() == 1:
        several = [column for column in several if column != "machine"]
    return several


def _sites(frame: pd.DataFrame, columns: Sequence[str]) -> list[str]:
    """The name of each row's site."""
    parts = [[_SITE[column].format(value) for value in frame[column]] for column in columns]
    return [" ".join(row) for row in zip(*parts, strict=True)]


def _data_label(summary: pd.DataFrame) -> pd.Series:
    """The text " on DATASET" per row where a workload was run on several data sets, else ""."""
    ways = summary.groupby("workload")["data_checksum"].transform("nunique")
    return (" on " + summary["dataset"].astype(str)).where(ways > 1, "")
