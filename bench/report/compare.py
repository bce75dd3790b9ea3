"""Compares runs side by side: the same workloads on different machines, devices or versions.

A computing centre compares its nodes in this way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table as RichTable

from bench.records.files import RunError
from bench.records.job import Record
from bench.records.stored import LeftOut
from bench.report.form import words
from bench.report.form.document import Block, Heading, Items, Plot, Table, Text, write_document
from bench.report.frame import places as tables
from bench.report.frame.disturbed import say_disturbed
from bench.report.frame.epochs import GROUP, epochs_frame, records_of
from bench.report.frame.summary import summarise
from bench.report.plot.results import CAPTIONS, write_plots
from bench.report.section.agreement import alarm_blocks
from bench.report.section.machines import MACHINE_COLUMNS, machine_cells

# Two sites stand in one row only if these are equal.
_TRAINING = ["dataset", "data_checksum", "workload", "spec", "epochs", "batch_size", "backend"]
_TOLD = (
    ("data_checksum", "data sets"),
    ("spec", "specs"),
    ("epochs", "epochs"),
    ("batch_size", "batch sizes"),
)
_SITE = ["run", "machine", "device", "threads"]
_MEASURES: dict[str, tuple[str, Callable[[Any], str]]] = {
    "Training epoch, median": ("epoch_seconds", words.seconds),
    "Test accuracy, last epoch": ("test_accuracy", words.percent),
    "Training images per second": ("train_examples_per_second", words.per_second),
    "Peak process memory while training": ("train_peak_rss_bytes", words.gigabytes),
    "Device memory, allocator's peak": ("allocator_peak_bytes", words.gigabytes),
    "Training time to the target accuracy": ("seconds_to_target", words.seconds),
}


class Comparison:
    """Several sites as columns of the same tables.

    A site is a run, or a machine, device or thread count within a run.

    Args:
        folders: the runs' folders; the other sites are divided by the first one.

    Raises:
        RunError: a run is missing or empty, or there is only one site.
    """

    def __init__(self, folders: Sequence[Path]) -> None:
        self.damaged: list[LeftOut] = []
        found: dict[tuple[str, str], Record] = {}
        frames = []
        for name, folder in zip(_names(folders), folders, strict=True):
            records, damaged = records_of(folder)
            self.damaged += damaged
            found |= {(name, record.key): record for record in records}
            frames.append(epochs_frame(records).assign(run=name))
        self.frame = pd.concat(frames, ignore_index=True)
        self.frame["site"] = _sites(self.frame)
        jobs = self.frame.drop_duplicates(["run", "key"])
        self._records = [
            (str(row.site), found[str(row.run), str(row.key)]) for row in jobs.itertuples()
        ]
        self.sites = list(dict.fromkeys(self.frame["site"]))
        if len(self.sites) == 1:
            raise RunError(
                f"there is only one site to compare: {self.sites[0]}",
                expected="several runs, or one with several machines or devices",
            )
        groups = [
            summarise(rows).assign(site=site)
            for site, rows in self.frame.groupby("site", sort=False)
        ]
        self.summary = pd.concat(groups, ignore_index=True)
        self.summary["label"] = tables.label(self.summary) + _data_label(self.summary)

    def print_table(self, console: Console) -> None:
        """Print a row per workload, backend and site, and below them the notes."""
        table = RichTable(box=box.SIMPLE_HEAD, padding=0, show_edge=False)
        for title in ("workload", "backend", "site"):
            table.add_column(title, justify="left")
        for title in ("accuracy", "epoch", "ratio", "memory"):
            table.add_column(title, justify="right")
        previous = ""
        for (workload, backend), rows in self._trainings():
            for number, site in enumerate(site for site in self.sites if site in rows):
                cells = (workload if workload != previous else "", "" if number else backend, site)
                table.add_row(*map(escape, (*cells, *_short(rows[site], self._base(rows)))))
                previous = workload
        console.print(table)
        for line in self.notes():
            console.print(line, highlight=False, markup=False, soft_wrap=True)

    def notes(self) -> list[str]:
        """The lines that a reader needs to read the tables correctly."""
        found = [
            (
                f"Ratios are to the first site with that job, {self.sites[0]} where it can be:"
                " above 1, slower."
            )
        ]
        ok = self.summary[self.summary["status"] == "ok"]
        if not ok.empty and ok["rounds"].max() == 1:
            found.append(
                "One round each: ratios are what was seen once, not a verdict on which is faster."
            )
        for workload, rows in self.summary.groupby("workload", sort=False):
            for column, what in _TOLD:
                per_site = rows.groupby("site")[column].agg(frozenset)
                if per_site.nunique() > 1:
                    found.append(
                        f"{workload}: not every site has the same {what}; such rows are not"
                        " compared."
                    )
        bad = self.summary[self.summary["status"] != "ok"]
        found += [
            f"{row.label} {row.backend}, {row.site}: {row.status}, {row.reason}"
            for row in bad.itertuples()
        ]
        found += self._differing_versions()
        for site, rows in self.frame.groupby("site", sort=False):
            found += [f"{site}, {line}" for line in say_disturbed(rows, GROUP)]
        return found

    def write(self, folder: Path) -> None:
        """Write the comparison as `report.md`, `report.html`, `comparison.csv` and plots.

        Raises:
            RunError: the folder cannot be written.
        """
        if folder.exists() and not folder.is_dir():
            raise RunError(
                f"{folder}: is a file", expected="a folder", hint="--output names a folder"
            )
        plots = write_plots(self.frame, folder / "plots")
        blocks: list[Block] = [
            Heading(folder.resolve().name, 1),
            *alarm_blocks(self.frame),
            Text("The same workloads, side by side."),
            Items(tuple(self.notes())),
        ]
        for title, (column, text) in _MEASURES.items():
            if self.summary[column].notna().any():
                ratio = column == "epoch_seconds"
                blocks += [Heading(title, 2), self._table(column, text, ratio=ratio)]
        blocks += [Heading("Plots", 2), *(Plot(plot, CAPTIONS[plot]) for plot in plots)]
        write_document(
            [*blocks, Heading("Where and with what", 2), self._machines(), self._versions()], folder
        )
        self.summary.to_csv(folder / "comparison.csv", index=False)

    def _machines(self) -> Table:
        machines = dict.fromkeys(
            (site, *machine_cells(record.machine)) for site, record in self._records
        )
        return Table(("site", *MACHINE_COLUMNS), tuple(machines))

    def _versions(self) -> Table:
        lines = [
            (
                backend,
                *(" / ".join(sorted(by_site.get(site, {words.ABSENT}))) for site in self.sites),
            )
            for backend, by_site in self._versions_by_backend().items()
        ]
        return Table(("backend", *self.sites), tuple(lines))

    def _versions_by_backend(self) -> dict[str, dict[str, set[str]]]:
        found: dict[str, dict[str, set[str]]] = {}
        for site, record in self._records:
            text = ", ".join(f"{name} {version}" for name, version in record.versions.items())
            found.setdefault(record.job.backend, {}).setdefault(site, set()).add(text)
        return found

    def _differing_versions(self) -> list[str]:
        """A line per backend and package whose version differs between sites."""
        found: dict[str, dict[str, set[str]]] = {}
        for site, record in self._records:
            for package, version in record.versions.items():
                by_version = found.setdefault(f"{record.job.backend}: {package}", {})
                by_version.setdefault(version, set()).add(site)
        return [
            f"{package} "
            + "; ".join(
                f"{version} at {', '.join(sorted(sites))}" for version, sites in versions.items()
            )
            for package, versions in found.items()
            if len(versions) > 1
        ]

    def _table(self, column: str, text: Callable[[Any], str], *, ratio: bool) -> Table:
        lines = []
        for key, rows in self._trainings():
            cells = []
            for site in self.sites:
                row = rows.get(site)
                shown = words.ABSENT if row is None else text(row[column])
                if ratio and row is not None and shown != words.ABSENT:
                    shown += f" ({words.times(row[column] / self._base(rows)[column])})"
                cells.append(shown)
            lines.append((*key, *cells))
        return Table(("workload", "backend", *self.sites), tuple(lines))

    def _trainings(self) -> list[tuple[tuple[str, str], dict[str, dict[str, Any]]]]:
        """(workload, backend) and its rows by site, per training that is the same on all sites."""
        found = []
        for _, rows in self.summary.groupby(_TRAINING, sort=False):
            by_site = {
                row["site"]: {str(k): v for k, v in row.items()} for row in rows.to_dict("records")
            }
            first = next(iter(by_site.values()))
            found.append(((str(first["label"]), str(first["backend"])), by_site))
        return found

    def _base(self, rows: dict[str, dict[str, Any]]) -> dict[str, Any]:
        """The row that the others are divided by: of the first site where it ended ok, if any."""
        there = [rows[site] for site in self.sites if site in rows]
        return next((row for row in there if row["status"] == "ok"), there[0])


def _short(row: dict[str, Any], base: dict[str, Any]) -> tuple[str, ...]:
    if row["status"] != "ok":
        return (row["status"], *[words.ABSENT] * 3)
    return (
        words.percent(row["test_accuracy"]),
        words.seconds(row["epoch_seconds"]),
        words.times(row["epoch_seconds"] / base["epoch_seconds"]),
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


def _sites(frame: pd.DataFrame) -> pd.Series:
    """The name of each row's site: those of run, machine, device and threads that differ."""
    texts = {"run": "{}", "machine": "{}", "device": "{}", "threads": "{} threads"}
    several = [column for column in _SITE if frame[column].nunique() > 1] or ["run"]
    # Where every run has one machine, the name of the run also tells the machine.
    if "run" in several and frame.groupby("run")["machine"].nunique().max() == 1:
        several = [column for column in several if column != "machine"]
    parts = [[texts[column].format(value) for value in frame[column]] for column in several]
    return pd.Series([" ".join(row) for row in zip(*parts, strict=True)], index=frame.index)


def _data_label(summary: pd.DataFrame) -> pd.Series:
    """The text " on DATASET" per row where a workload was run on several data sets, else ""."""
    ways = summary.groupby("workload")["data_checksum"].transform("nunique")
    return summary["dataset"].map(" on {}".format).where(ways > 1, "")
